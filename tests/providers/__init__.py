"""Test servers of ours that speak the protocols of others: a language model's, Meta's send API."""
