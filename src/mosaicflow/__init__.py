"""From the raw tiles of a serial block-face microscope to one measurable volume."""

__version__ = "0.1.0"

__all__ = ["__version__"]
