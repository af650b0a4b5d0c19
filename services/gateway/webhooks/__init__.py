"""The providers' webhooks: signature, parsing, publishing."""
