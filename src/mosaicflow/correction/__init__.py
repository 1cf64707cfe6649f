"""Undoing what the instrument did to the intensities, and finding the block face."""
