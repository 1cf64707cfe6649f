"""Stores from and to the files of other fields: NIfTI, OME-TIFF and series of TIFF planes."""
