"""Private RabbitMQ and PostgreSQL servers around a test run: `python -m tests.servers pytest ...`."""
