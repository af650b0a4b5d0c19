"""What other people would write: the same work on FastStream and on Celery, run by their own interpreter."""
