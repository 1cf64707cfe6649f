"""One stage model for all slices of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaicflow.mosaic.jumps import with_doubt_of_islands
from mosaicflow.mosaic.placement import held_out_residuals, solve_placement
from mosaicflow.mosaic.stage_model import StagePrior, departures, fit_stage_model
from mosaicflow.spread import RAYLEIGH_MEDIAN, robust_spread, spread_about

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link
    from mosaicflow.mosaic.placement import Placement

    Tile = tuple[int, int]
    Position = tuple[float, float]

__all__ = ["PooledStage", "place_slice", "pool_stage"]

# A slice with so many links whose own model explains them so much better than that of all slices
# keeps its own: its camera or its region was turned.
_OWN_LINKS, _OWN_GAIN = 12, 0.8
# Share by which the lattice or the stage must explain left-out links better than the solution
# does, to be kept in its place: chance alone makes them differ by some percent.
_CLEARLY_BETTER = 0.8
# Links agree when left-out ones are met this well [px]; a tile that they show further off the
# lattice than that, and than so many standard errors, has jumped.
_AGREE_PX, _JUMP_ERRORS = 0.5, 5.0
# Rows run to and fro differ by what the stage has of play: shown by so many steps between rows, by
# so many standard errors, and by so much [px].
_FEWEST_ROWS, _BACKLASH_ERRORS, _LEAST_BACKLASH_PX = 8, 4.0, 0.1
# Play bends the model that it is measured against: both are estimated in turn.
_PLAY_ROUNDS = 3
# Standard deviation of a step of the stage that counts as one link's worth of knowledge [px].
_TYPICAL_STEP_PX = 2.0
# Links that knowledge is worth that the links themselves have confirmed: as good as all.
_CERTAIN = 1e6
# Links of a slice that the knowledge of the other slices is worth at most.
_MOST_WORTH = 20.0


@dataclass(frozen=True, slots=True)
class PooledStage:
    """What the links of all slices tell of the stage.

    Parameters
    ----------
    model : ndarray, shape (2, 2), float64
        Image step = model @ stage step.
    step_sigma_px : float
        Standard deviation per axis of a step about the model.
    backlash_px : (float, float)
        (y, x) by which rows of odd number lie off those of even number; zero where not sure.
    n_links : int
        Links that it was learnt from.
    """

    model: NDArray[np.float64]
    step_sigma_px: float
    backlash_px: tuple[float, float]
    n_links: int


def pool_stage(
    slices: Sequence[tuple[Mapping[Tile, Position], Sequence[Link]]],
) -> PooledStage:
    """Learn step, turn, skew and play of the stage from all slices together.

    Parameters
    ----------
    slices : sequence of (mapping, sequence of Link)
        Where the stage has the tiles of each slice, and their links.

    Returns
    -------
    PooledStage
    """
    # Tiles of different slices must not be taken for one another: rows are numbered on.
    stage_px: dict[Tile, Position] = {}
    links: list[Link] = []
    first = 0
    for places, found in slices:
        first += first % 2  # rows keep their direction
        stage_px |= {(iy + first, ix): at for (iy, ix), at in places.items()}
        links += [replace(k, a=(k.a[0] + first, k.a[1]), b=(k.b[0] + first, k.b[1])) for k in found]
        first = max((iy for iy, _ in stage_px), default=0) + 2
    play = np.zeros(2)
    for _ in range(_PLAY_ROUNDS):
        straight = _without_play(links, play)
        model = fit_stage_model(straight, stage_px)
        off = departures(straight, stage_px, model)
        play = play + _backlash(links, off)
    known = _TYPICAL_STEP_PX**2
    spread = np.sqrt((len(off) * robust_spread(off) ** 2 + known) / (len(off) + 1))
    y, x = play.tolist()
    return PooledStage(model, float(spread), (y, x), len(links))


def _row_sign(link: Link) -> int:
    """1 from a row run forth to one run back, -1 the other way, 0 within a row."""
    return 0 if link.a[0] == link.b[0] else 1 - 2 * (link.a[0] % 2)


def _without_play(links: Sequence[Link], play: NDArray[np.float64]) -> list[Link]:
    moved = (np.subtract(k.shift_px, _row_sign(k) * play).tolist() for k in links)
    return [replace(k, shift_px=(y, x)) for k, (y, x) in zip(links, moved, strict=True)]


def _backlash(links: Sequence[Link], off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compare steps from even to odd rows with those from odd to even ones; zero if not sure."""
    sign = np.array([_row_sign(k) for k in links])
    forth, back = off[sign == 1], off[sign == -1]
    if min(len(forth), len(back)) < _FEWEST_ROWS:
        return np.zeros(2)
    # The model may have settled on either kind: half of what tells them apart is the play.
    middles = [np.median(kind, axis=0) for kind in (forth, back)]
    play = (middles[0] - middles[1]) / 2
    errors = [
        # The standard error of a median of normal values is 1.2533 that of their mean.
        [1.2533 * spread_about(kind[:, i], middle[i]) / np.sqrt(len(kind)) for i in (0, 1)]
        for kind, middle in zip((forth, back), middles, strict=True)
    ]
    error = np.hypot(*np.array(errors)) / 2
    return np.where(
        np.abs(play) > np.maximum(_BACKLASH_ERRORS * error, _LEAST_BACKLASH_PX), play, 0.0
    )


def place_slice(
    links: Sequence[Link],
    stage_px: Mapping[Tile, Position],
    pooled: PooledStage,
    fixed_px: Mapping[Tile, tuple[float, float, float]],
    tile_yx: tuple[int, int],
) -> tuple[Placement, dict[str, Any]]:
    """Place the tiles of one slice; keep that only if it explains left-out links as well.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts of the slice.
    stage_px : mapping
        Tile -> (y, x) where the stage has it.
    pooled : PooledStage
        What all slices tell of the stage.
    fixed_px : mapping
        Tile -> (y, x, standard deviation) in px where somebody said that it lies, relative to
        where the stage alone puts it.
    tile_yx : (int, int)
        Lateral shape of a tile.

    Returns
    -------
    (Placement, dict)
        And how it was decided.
    """
    back = np.array(pooled.backlash_px)
    moved = {
        t: tuple(np.linalg.solve(pooled.model, back) * (t[0] % 2) + at)
        for t, at in stage_px.items()
    }
    model = _model_for(links, moved, pooled)
    worth = min(_MOST_WORTH, float(max(pooled.n_links - len(links), 1)))
    said = _from_model(fixed_px, stage_px, {t: model @ at for t, at in moved.items()})
    prior = StagePrior(model, pooled.step_sigma_px, worth, said)
    placement = solve_placement(links, moved, prior=prior)
    residuals = held_out_residuals(links, stage_px)
    source = "optimised" if placement.measured else "stage"
    if placement.measured and not said:
        source, off_px = _best(placement, moved, residuals)
        if source != "optimised" and off_px <= _AGREE_PX:
            # Steps that left-out links find to be exact count as exactly as that, beside links.
            exact = np.eye(2) if source == "stage" else model
            step_sigma_px = off_px / RAYLEIGH_MEDIAN
            prior = StagePrior(exact, step_sigma_px, _CERTAIN)
            placement = solve_placement(
                links, stage_px if source == "stage" else moved, prior=prior
            )
            source = "optimised"
    if source != "optimised" and not said:
        # Without a link in this slice the model of the others is still the better guess.
        known = source == "lattice" or pooled.n_links >= _OWN_LINKS
        unused = tuple(replace(k, used=False, weight=0.0) for k in placement.links)
        placement = replace(
            solve_placement([], moved if known else stage_px, model=model if known else np.eye(2)),
            links=unused,
        )
        source = "lattice" if known else source
    if not said:
        placement = with_doubt_of_islands(placement, moved, tile_yx)
    return placement, _decision(source, residuals, links)


def _from_model(
    fixed_px: Mapping[Tile, tuple[float, float, float]],
    stage_px: Mapping[Tile, Position],
    places: Mapping[Tile, NDArray[np.float64]],
) -> dict[Tile, tuple[float, float, float]]:
    """Refer what a person said of the stage as it is to the stage model that the solver takes."""
    middle = np.mean([places[t] - np.array(stage_px[t]) for t in places], axis=0)
    said = {}
    for tile, (y, x, sigma) in fixed_px.items():
        if tile in places:
            at = np.add((y, x), stage_px[tile]) + middle - places[tile]
            said[tile] = (float(at[0]), float(at[1]), sigma)
    return said


def _best(
    placement: Placement, stage_px: Mapping[Tile, Position], residuals: tuple[float, float, float]
) -> tuple[str, float]:
    """Say which positions explain left-out links best, and how far they are off [px].

    The solution stays unless another one is clearly better.
    """
    stage, lattice, solved = residuals
    if not np.isfinite(solved) or _jumped(placement, stage_px, solved):
        return "optimised", solved
    best, off_px = min((("lattice", lattice), ("stage", stage)), key=lambda one: one[1])
    return (best, off_px) if off_px < _CLEARLY_BETTER * solved else ("optimised", solved)


def _jumped(placement: Placement, stage_px: Mapping[Tile, Position], left_out_px: float) -> bool:
    """Whether links that agree with each other show tiles that are not on the lattice.

    Left-out links tell of tiles in loops only, and most of them of none that jumped.
    """
    if left_out_px > _AGREE_PX:
        return False
    used = [k for k in placement.links if k.used]
    far = np.linalg.norm(departures(used, stage_px, placement.model), axis=1)
    return bool((far > np.maximum(_AGREE_PX, [_JUMP_ERRORS * k.sigma_px for k in used])).any())


def _model_for(
    links: Sequence[Link], stage_px: Mapping[Tile, Position], pooled: PooledStage
) -> NDArray[np.float64]:
    if len(links) < _OWN_LINKS:
        return pooled.model
    own = fit_stage_model(links, stage_px)
    steps = np.array([np.subtract(stage_px[k.b], stage_px[k.a]) for k in links])
    shifts = np.array([k.shift_px for k in links])
    mine, all_slices = (
        float(np.median(np.linalg.norm(shifts - steps @ m.T, axis=1))) for m in (own, pooled.model)
    )
    return own if mine < _OWN_GAIN * all_slices else pooled.model


def _decision(
    source: str, residuals: tuple[float, float, float], links: Sequence[Link]
) -> dict[str, Any]:
    known = [link.stage_ncc for link in links if np.isfinite(link.stage_ncc)]
    return {
        "source": source,
        "held_out_residual_stage_px": residuals[0],
        "held_out_residual_model_px": residuals[1],
        "held_out_residual_positions_px": residuals[2],
        "ncc": float(np.median([link.ncc for link in links])) if links else float("nan"),
        "stage_ncc": float(np.median(known)) if known else float("nan"),
    }
