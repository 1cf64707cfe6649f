"""Across slices: stage steps, pairwise registration, and one transform per slice."""
