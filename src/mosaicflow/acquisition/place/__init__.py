"""Where raw tiles lie: names, numbers and motor positions, put on one lattice."""
