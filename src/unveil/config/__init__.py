"""Every value a user may set, with default, bounds and unit."""
