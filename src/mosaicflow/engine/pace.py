"""How fast this machine does the work of the stages, by a short measurement."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from mosaicflow.io.zarr.codecs import compressed_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measured_pace"]

# CPU seconds of one trial on the machine that the costs of the stages were measured on [s].
# Doubled, every predicted time is half as long.
_REFERENCE_S = 0.06
# Trials, of which the middle one counts: a neighbour's burst must not decide [1].
_TRIALS = 3
# Voxels that are worked on (z, y, x), 3 MB: more than a core's own cache holds. With twice as many
# it takes twice as long to know.
_SHAPE = (48, 128, 128)


def measured_pace() -> float:
    """Say how many times as long as on the reference machine work takes here, in CPU time.

    Returns
    -------
    float
        1 for a machine as fast; it takes about 0.3 s to know.
    """
    rng = np.random.default_rng(0)
    block = rng.standard_normal(_SHAPE, dtype=np.float32)
    return float(np.median([_trial(block) for _ in range(_TRIALS)])) / _REFERENCE_S


def _trial(block: NDArray[np.float32]) -> float:
    """Do a little of each kind of work: smoothing, spectra, sums, compression."""
    start = time.process_time()
    ndimage.gaussian_filter(block, 1.0, truncate=3.0)
    np.fft.irfft2(np.fft.rfft2(block))
    (block * np.float32(1.1) + block).mean(axis=0)
    compressed_bytes(block, "blosc")
    return time.process_time() - start
