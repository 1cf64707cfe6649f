"""Files in and out: OME-Zarr stores, tables, provenance and thread pools."""
