"""What the ``mosaicflow`` block of a store says, as types: of a mosaic grid, a slice, a volume.

A block is handed on from store to store, and keys that a stage does not know survive
(`StageReport.block`). These types read what this program acts on, and write it.
"""

from mosaicflow.io.blocks.grid import GridBlock
from mosaicflow.io.blocks.raw import GalvoBlock, StageBlock
from mosaicflow.io.blocks.slices import SliceBlock
from mosaicflow.io.blocks.volume import PlaneSpanBlock, VolumeBlock

__all__ = ["GalvoBlock", "GridBlock", "PlaneSpanBlock", "SliceBlock", "StageBlock", "VolumeBlock"]
