"""What a text is about and what its writer wants: high-stakes topics, a person, an answer at once; pure."""
