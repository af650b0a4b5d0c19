"""The inbox: who waits, one conversation in hand, and what an agent does with it."""
