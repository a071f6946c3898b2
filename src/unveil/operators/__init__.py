"""Pure functions on arrays and tensors."""
