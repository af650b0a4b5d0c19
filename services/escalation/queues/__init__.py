"""The queues as operators and metrics see them, and what looks after them."""
