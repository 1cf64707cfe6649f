"""The voxels of raw tiles, what the instrument did to them undone, laid into one grid."""
