"""The tenants' accounts at their providers: whether they are well, and what nobody else ends."""
