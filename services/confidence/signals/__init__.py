"""Signals: small pure readings of a reply and what came with it, each 0..1, higher speaking for the reply."""
