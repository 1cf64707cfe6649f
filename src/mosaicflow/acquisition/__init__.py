"""Raw acquisitions: find the tiles, judge what was found, read one tile at a time."""
