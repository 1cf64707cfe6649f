"""What the optics do to every tile alike: its light, its dark, its bend. Estimated and undone."""
