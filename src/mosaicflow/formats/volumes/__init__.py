"""Densities and label volumes: mrc, em, hdf5, nifti and nrrd."""
