"""From a lattice of overlapping tiles to one slice: resampling, positions, fusion."""
