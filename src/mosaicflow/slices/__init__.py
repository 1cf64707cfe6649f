"""One slice in depth: block face, profile, brightness, tissue, and reading it from its store."""
