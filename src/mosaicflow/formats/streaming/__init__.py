"""Looking at image pyramids that are larger than memory: chunks on demand, a source for VTK.

`pyramid` reads regions through a bounded cache, `omezarr` opens stores, `image_source` feeds VTK
pipelines, and `scene` and `viewer` put a volume on the screen. Arrays, shapes and spacings are
(z, y, x), as OME-Zarr stores them; VTK is told x first.
"""
