"""The chat window for web pages: its source, the one script it is served as, and a page to try it on."""
