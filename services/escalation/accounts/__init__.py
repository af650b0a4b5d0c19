"""Who may call: people, API keys, tokens of one conversation; and the log of who changed what."""
