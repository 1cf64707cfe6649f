"""Numbers that say how far to trust a result."""
