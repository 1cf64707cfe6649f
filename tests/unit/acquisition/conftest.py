"""A tiny writer of raw tiles, so that tests can also produce what no instrument should."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest


@dataclass(frozen=True)
class RawWriter:
    """Writes tile folders of a serial-OCT acquisition below `root`."""

    root: Path
    nx: int = 12
    ny: int = 10
    nz: int = 6
    n_extra: int = 4
    n_repeat: int = 1
    pitch_um: float = 10.0
    overlap: float = 0.2
    layout: str = "per_slice"
    info: dict = field(default_factory=dict)
    with_positions: bool = True

    def but(self, **changes):
        return replace(self, **changes)

    def folder(self, x, y, z):
        name = f"tile_x{x:02d}_y{y:02d}_z{z:02d}"
        parents = {
            "flat": self.root,
            "per_slice": self.root / f"z{z:02d}",
            "acquisition": self.root / f"slice_z{z:02d}" / "tiles",
            "archived": self.root / "metadata" / f"slice_z{z:02d}",
        }
        return parents[self.layout] / name

    def data(self, x, y, z):
        """Raw samples [B-scan, A-line, depth] that differ from tile to tile."""
        rng = np.random.default_rng([x, y, z])
        shape = (self.ny * self.n_repeat, self.nx + self.n_extra, self.nz)
        return rng.uniform(50, 150, shape).astype("<f4")

    def values(self, x, y, z):
        values = {
            "nx": self.nx, "ny": self.ny, "n_repeat": self.n_repeat, "n_extra": self.n_extra,
            "width": self.nx * self.pitch_um, "height": self.ny * self.pitch_um,
            "top_z": 20, "bottom_z": 20 + self.nz - 1,
        }  # fmt: skip
        if self.with_positions:
            # Default orientation: Y runs along the fast axis, X along the slow one.
            step = self.pitch_um * (1 - self.overlap) / 1000
            values["stage_y_pos_mm"] = round(5 + y * self.nx * step, 9)
            values["stage_x_pos_mm"] = round(10 + x * self.ny * step, 9)
            values["stage_z_pos_mm"] = 0.2 * z
        return values | self.info

    def tile(self, x, y, z=0, *, data=None, n_files=1, folder=None, **info):
        """Write one tile and return its folder; info values None leave the key out."""
        folder = folder or self.folder(x, y, z)
        folder.mkdir(parents=True)
        values = {k: v for k, v in (self.values(x, y, z) | info).items() if v is not None}
        lines = [f"{key}: {value}" for key, value in values.items()]
        (folder / "info.txt").write_text("Scan info\n" + "\n".join(lines) + "\n")
        data = self.data(x, y, z) if data is None else data
        for number, piece in enumerate(np.array_split(data, n_files)):
            piece.tofile(folder / f"image_{number:05d}.bin")
        return folder

    def lattice(self, rows=2, columns=3, z=0, first=(0, 0), **kwargs):
        for y in range(first[0], first[0] + rows):
            for x in range(first[1], first[1] + columns):
                self.tile(x, y, z, **kwargs)
        return self

    def expected(self, x, y, z=0):
        """What the default orientation makes of a tile, written out from the definition."""
        raw = self.data(x, y, z)
        tile = np.empty((self.nz, self.nx, self.ny), np.float32)
        for i in range(self.nx):
            for j in range(self.ny):
                tile[:, i, j] = raw[self.ny - 1 - j, self.nx - 1 - i, :]
        return tile


@pytest.fixture
def raw(tmp_path):
    return RawWriter(tmp_path / "raw data µ")
