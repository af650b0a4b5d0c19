"""Secrets at rest: sealed, opened, found wherever they stand, sealed anew."""
