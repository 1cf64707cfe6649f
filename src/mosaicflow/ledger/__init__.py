"""Which slices there are and which take part: slice_config.csv and overrides.csv."""
