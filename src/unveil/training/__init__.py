"""Training loops: they yield, and know nothing of who listens."""
