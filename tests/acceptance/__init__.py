"""The product as its user starts it: real processes, real HTTP, real queues."""
