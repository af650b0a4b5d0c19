"""The turn as both doors run it: begin, draft, complete."""
