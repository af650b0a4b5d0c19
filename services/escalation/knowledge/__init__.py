"""A tenant's documents: cut into passages, and searched."""
