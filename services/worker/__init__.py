"""The queue's door: takes a message, runs its turn or delivers it, acknowledges."""
