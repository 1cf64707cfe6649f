"""What every format stands on: errors, the bytes of a file, text tables, rotations and records."""
