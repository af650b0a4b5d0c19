"""Tenants: what they set, what that defaults to, and the copy in memory that every turn reads."""
