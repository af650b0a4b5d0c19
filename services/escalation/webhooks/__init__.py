"""Outgoing webhooks: signed, repeated until they arrive, never in the way of a call."""
