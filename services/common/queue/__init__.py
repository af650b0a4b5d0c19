"""The durable queue between the doors and the worker: one port, RabbitMQ and an embedded file behind it."""
