"""Image pyramids read piece by piece."""
