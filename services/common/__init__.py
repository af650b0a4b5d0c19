"""Plumbing that two or more services use; it knows no turn, score or decision."""
