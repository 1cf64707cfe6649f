"""Showing a store in a viewer: napari, or Neuroglancer over a local web server."""
