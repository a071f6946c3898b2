"""Models: a network plus its card."""
