"""How well two tiles match at every shift by whole pixels, all shifts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import ifft, irfft, next_fast_len, rfft2

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    Surface = NDArray[np.float64]
    Span = tuple[NDArray[np.int64], NDArray[np.int64]]

__all__ = ["LEAST_WIDTH_PX", "MARGIN_PX", "Matches", "correlate_tiles", "overlap_bounds"]

# Of an overlap this narrow, tiles 300 px long still tell the shift; half of it does not [px].
LEAST_WIDTH_PX = 4
# An overlap at least this wide leaves out `MARGIN_PX` on both sides, where filters looked beyond
# the tiles and fractional shifts reach for data; a narrower one has no pixel to spare [px].
_WIDE_ENOUGH_PX = 14
# Pixels at a border that filters mix with what lies beyond [px], on either side. Doubled, narrow
# overlaps have nothing left.
MARGIN_PX = 3
# A correlation over less than this share of the smaller strip is chance: doubled, a narrow
# overlap in a wide search is never seen.
_LEAST_OVERLAP = 0.02
# Pixels below which a correlation is chance: its error is then 0.14. Doubled, the smallest
# overlaps have no peak.
_FEWEST_PIXELS = 48
# Bands are averaged to this many for the search over all shifts.
_SEARCH_BANDS = 4


@dataclass(frozen=True, slots=True)
class Matches:
    """Correlation of two tiles at the shifts around an expected one.

    Parameters
    ----------
    first : (int, int)
        Shift (y, x) in px of the first element.
    ncc : ndarray, shape (..., 2 reach + 1, 2 reach + 1), float64
        Correlation coefficient of the overlap; NaN where it cannot be told.
    pixels : ndarray, float64
        Pixels of the overlap that both tiles know; of the same shape, or of one surface for all.
    """

    first: tuple[int, int]
    ncc: Surface
    pixels: Surface


def correlate_tiles(
    first: Image, second: Image, start: tuple[int, int], reach: int
) -> Matches | None:
    """Correlate two tiles at all shifts from `start` - `reach` to `start` + `reach`.

    Parameters
    ----------
    first, second : ndarray, shape (..., bands, y, x), float32
        Features of both tiles, or of several pairs of them; zeros where there is no data.
    start : (int, int)
        Position of `second` minus position of `first` in the middle of the search, (y, x) in px.
    reach : int
        Departure from it that is looked at, per axis [px].

    Returns
    -------
    Matches or None
        None when the tiles cannot meet or the first or second ones are empty.

    Notes
    -----
    Normalised correlation of zero-padded strips about the mean of each overlap; the normalisation
    follows Padfield, "Masked object registration in the Fourier domain", IEEE Trans. Image
    Process. 21 (2012), doi:10.1109/TIP.2011.2181402.
    """
    strips = _strips(first, second, start, reach)
    if strips is None:
        return None
    a, b, offset = strips
    # At other shifts the overlap is too narrow.
    wide = [
        (max(at - reach, LEAST_WIDTH_PX - n_b), min(at + reach, n_a - LEAST_WIDTH_PX))
        for n_a, n_b, at in zip(first.shape[-2:], second.shape[-2:], start, strict=True)
    ]
    # A lag is the shift between the strips, a shift that between the tiles.
    lags = [
        _Lags(n_a, n_b, low - off, high - off)
        for n_a, n_b, (low, high), off in zip(a.shape[-2:], b.shape[-2:], wide, offset, strict=True)
    ]
    ncc, pixels = _ncc_surface(_fewer_bands(a), _fewer_bands(b), (lags[0], lags[1]))
    corner = (start[0] - reach, start[1] - reach)
    inside = [slice(low - c, high - c + 1) for (low, high), c in zip(wide, corner, strict=True)]
    whole = (2 * reach + 1, 2 * reach + 1)
    every = np.full((*ncc.shape[:-2], *whole), np.nan), np.zeros((*pixels.shape[:-2], *whole))
    for surface, part in zip(every, (ncc, pixels), strict=True):
        surface[..., inside[0], inside[1]] = part
    return Matches(corner, *every)


def overlap_bounds(n_a: int, n_b: int, shift: int) -> tuple[int, int] | None:
    """Part of the first tile that the second one covers; None if too narrow."""
    low, high = max(0, shift), min(n_a, n_b + shift)
    if high - low >= _WIDE_ENOUGH_PX:
        low, high = max(0, shift + MARGIN_PX), min(n_a, n_b + shift - MARGIN_PX)
    return (low, high) if high - low >= LEAST_WIDTH_PX else None


def _strips(
    first: Image, second: Image, start: tuple[int, int], reach: int
) -> tuple[Image, Image, tuple[int, int]] | None:
    """Cut the parts of both tiles that can meet; also the offset between the cuts."""
    cut_a, cut_b, offset = [], [], []
    for n_a, n_b, shift in zip(first.shape[-2:], second.shape[-2:], start, strict=True):
        a0, a1 = max(0, shift - reach), min(n_a, n_b + shift + reach)
        b0, b1 = max(0, -shift - reach), min(n_b, n_a - shift + reach)
        if min(a1 - a0, b1 - b0) < LEAST_WIDTH_PX:
            return None
        cut_a.append(slice(a0, a1))
        cut_b.append(slice(b0, b1))
        offset.append(a0 - b0)
    a = first[..., cut_a[0], cut_a[1]]
    b = second[..., cut_b[0], cut_b[1]]
    if not all((part != 0).any() for part in (a, b)):
        return None
    return a, b, (offset[0], offset[1])


def _fewer_bands(images: Image) -> Image:
    n_bands = images.shape[-3]
    step = -(-n_bands // _SEARCH_BANDS)
    if step == 1:
        return images
    return np.add.reduceat(images, range(0, n_bands, step), axis=-3)


@dataclass(frozen=True, slots=True)
class _Lags:
    """The lags of interest along one axis of two strips."""

    n_a: int
    n_b: int
    low: int
    high: int

    @property
    def size(self) -> int:
        """Length of a transform in which no other lag wraps round onto those of interest."""
        least = max(self.n_a, self.n_b, self.n_b + self.high, self.n_a - self.low)
        return int(next_fast_len(least, real=True))

    @property
    def values(self) -> NDArray[np.int64]:
        return np.arange(self.low, self.high + 1)

    @property
    def met(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and stop of the part of the first strip that meets the second, per lag."""
        lags = self.values  # clipped by hand: `numpy.clip` takes thrice as long for so few
        start = np.minimum(np.maximum(lags, 0), self.n_a)
        return start, np.minimum(np.maximum(lags + self.n_b, start), self.n_a)

    @property
    def mirrored(self) -> _Lags:
        """Lags of the first strip as seen from the second."""
        return _Lags(self.n_b, self.n_a, -self.high, -self.low)


def _ncc_surface(a: Image, b: Image, lags: tuple[_Lags, _Lags]) -> tuple[Surface, Surface]:
    """Correlation coefficient of the overlap for each lag, all bands together, and its pixels."""
    size = (lags[0].size, lags[1].size)
    rows, columns = (lag.values % n for lag, n in zip(lags, size, strict=True))

    def correlate(p: NDArray[np.floating], q: NDArray[np.floating]) -> Surface:
        both = (rfft2(p, size) * np.conj(rfft2(q, size))).sum(axis=-3)
        wanted = irfft(ifft(both, axis=-2).take(rows, axis=-2), size[1])
        return np.asarray(wanted.take(columns, axis=-1), dtype=np.float64)

    known_a, known_b = ((part != 0).any(axis=-3, keepdims=True) for part in (a, b))
    squares = [_by_band(part, part)[..., None, :, :] for part in (a, b)]
    cross = correlate(a, b)
    if known_a.all() and known_b.all():
        met_a, met_b = ([one.met for one in some] for some in (lags, [n.mirrored for n in lags]))
        count = np.outer(*(stop - start for start, stop in met_a)).astype(float)
        boxes_a = _box_sums(np.concatenate((a, squares[0]), axis=-3), met_a)
        boxes_b = _box_sums(np.concatenate((b, squares[1]), axis=-3), met_b)[..., ::-1, ::-1]
        sums_a, energy_a = boxes_a[..., :-1, :, :], boxes_a[..., -1, :, :]
        sums_b, energy_b = boxes_b[..., :-1, :, :], boxes_b[..., -1, :, :]
    else:
        ones_a, ones_b = (known.astype(np.float32) for known in (known_a, known_b))
        count = correlate(ones_a, ones_b)
        bands = [slice(k, k + 1) for k in range(a.shape[-3])]
        sums_a = np.stack([correlate(a[..., k, :, :], ones_b) for k in bands], axis=-3)
        sums_b = np.stack([correlate(ones_a, b[..., k, :, :]) for k in bands], axis=-3)
        energy_a, energy_b = correlate(squares[0], ones_b), correlate(ones_a, squares[1])
    over = 1 / np.maximum(count, 1)
    cross -= _by_band(sums_a, sums_b) * over
    energy_a -= _by_band(sums_a, sums_a) * over
    energy_b -= _by_band(sums_b, sums_b) * over
    # Rounding leaves something of an empty overlap's energy: less than this is nothing.
    dim_a, dim_b = (1e-7 * _total(square) for square in squares)
    fewest = np.minimum(_total(known_a), _total(known_b))
    good = count >= np.maximum(_LEAST_OVERLAP * fewest, _FEWEST_PIXELS)
    good &= (energy_a > dim_a) & (energy_b > dim_b)
    return cross / np.sqrt(np.where(good, energy_a * energy_b, np.nan)), count


def _by_band(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Multiply two images and add up their bands."""
    return np.asarray(np.einsum("...kyx,...kyx->...yx", one, other))


def _total(images: NDArray[Any]) -> NDArray[Any]:
    """Add up the pixels of images of one band."""
    return np.asarray(images.sum(axis=(-3, -2, -1))[..., None, None])


def _box_sums(images: NDArray[np.floating], met: Sequence[Span]) -> Surface:
    """Sum the part of each strip that meets the other one, for each lag."""
    # First along the axis that leaves less for the other.
    first, last = sorted((-2, -1), key=lambda axis: len(met[axis][0]) / images.shape[axis])
    return _sums_along(_sums_along(images, met[first], first), met[last], last)


def _sums_along(images: NDArray[np.floating], met: Span, axis: int) -> Surface:
    """Sum along an axis from each start to its stop; what all lags share is summed once."""
    start, stop = met
    first, last = int(start.max()), int(stop.min())
    parts = [np.zeros_like(images.take([0], axis=axis)), images]
    if first < last:
        before, shared, after = np.split(images, (first, last), axis=axis)
        parts[1:] = before, shared.sum(axis=axis, keepdims=True, dtype=np.float64), after
        stop = stop - (last - first - 1)
    total = np.cumsum(np.concatenate(parts, axis=axis), axis=axis, dtype=np.float64)
    sums = total.take(stop, axis=axis)
    sums -= total.take(start, axis=axis)
    return sums
