"""How far simulated light and lenses are from ideal ones."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Light"]


@dataclass(frozen=True, slots=True)
class Light:
    """What real light and real lenses do beyond a smooth, constant vignette.

    Parameters
    ----------
    rough : float
        Standard deviation of that part of the log flat field which is no low-order polynomial.
    rough_scale : float
        Its grain, as a part of the tile's side.
    shading_depth : float
        Standard deviation by which the log flat field changes from the middle to the deepest
        plane; the top changes the other way.
    shading_drift : float
        The same from the middle to the last slice.
    dark_offset : float
        Signal that is there without light, as a reflectivity; it rises by half along y.
    bleaching : float
        Part of its brightness that a slice has lost by its last tile.
    lamp_drift : float
        Standard deviation of each tile's own brightness.
    dust : int
        Specks that shade the same places of all tiles.
    scan_distortion_px : float
        Largest displacement by a scan that is not even, along x, in native px.
    lens_distortion_px : float
        Largest displacement by the lens, towards or from the middle, in native px.
    """

    rough: float = 0.0
    rough_scale: float = 0.15
    shading_depth: float = 0.0
    shading_drift: float = 0.0
    dark_offset: float = 0.0
    bleaching: float = 0.0
    lamp_drift: float = 0.0
    dust: int = 0
    scan_distortion_px: float = 0.0
    lens_distortion_px: float = 0.0
