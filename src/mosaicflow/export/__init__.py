"""A finished volume for other programs: files, values, placements."""
