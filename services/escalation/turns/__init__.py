"""One customer message and what came of it: the rules of a turn, pure, and what carries them out."""
