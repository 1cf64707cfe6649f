"""Loops of four neighbouring tiles: the shifts round one must add up to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.spread import spread_about

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from mosaicflow.mosaic.link import Link, LinkOption

    Tile = tuple[int, int]
    Pair = tuple[Tile, Tile]
    Loop = tuple[tuple[Pair, int], ...]

__all__ = ["believable", "choose_by_loops", "link_sigma", "loops_of"]

# A loop is open when it misses by more than this many standard deviations of a loop, and by more
# than this at whole pixels [px].
_OPEN_SIGMAS = 4.0
# Miss of a loop at which it speaks neither for its links nor against them [px], by judgement.
# Doubled, links that are wrong by a few px pass.
_OPEN_PX = 3.0
# What a closed loop is worth, and an open one costs, in standard deviations of evidence.
_LOOP_WORTH = 4.0
# The best candidate of a pair is worth no more than this, the others in proportion: loops can speak
# against any. Halved, tissue that repeats makes clear pairs follow their doubtful neighbours.
_MOST_EVIDENCE = 12.0
# Passes over all links at the most, by judgement. Doubled, nothing but time.
_SWEEPS = 10
# Least and largest standard deviation of a link that loops are believed to show [px]: they tell
# of a part of the errors only, and distorted tiles leave some pixels.
_SIGMA_PX = (0.03, 4.0)
# A link whose tiles differ by so many spreads more than those of other links, in the logarithm, is
# doubted; as many links tell, and their spread is taken for no less than this: a tenth of the
# light more or less is no wrong shift.
_MOST_MISFIT, _FEWEST_MISFITS, _LEAST_MISFIT_SPREAD = 3.5, 6, 0.15
# Two links of one tile are believed together where neither has a rival half as good and their loop
# closes to its own error: tissue that repeats gives rivals nearly as good. If they leave more of a
# difference than others, as those of a noisy or bleached tile do, or too few links tell, each must
# exceed chance by so much. Halved, both let a period of some tissues in; doubled, damaged corners
# lie by the stage.
_STRONG_EVIDENCE, _STRONG_RATIO = 8.0, 2.0
# A candidate that is no better than this many times the next may be its repetition.
_LEAST_RATIO = 1.15


def loops_of(pairs: Iterable[Pair]) -> list[Loop]:
    """List the loops of four tiles whose pairs are all there, each pair with its sign."""
    known = set(pairs)
    found: list[Loop] = []
    for a, b in sorted(known):
        if b[0] != a[0]:
            continue
        c, d = (a[0] + 1, a[1]), (b[0] + 1, b[1])
        loop = (((a, b), 1), ((b, d), 1), ((a, c), -1), ((c, d), -1))
        if all(pair in known for pair, _ in loop):
            found.append(loop)
    return found


def choose_by_loops(options: Mapping[Pair, Sequence[LinkOption]]) -> dict[Pair, LinkOption]:
    """Choose one candidate per pair by its own evidence and by the loops that it closes.

    Parameters
    ----------
    options : mapping
        Pair of tiles -> its candidates, the best first.

    Returns
    -------
    dict
        Pair -> its candidate.

    Notes
    -----
    Iterated conditional modes: each pair in turn takes the candidate that is best given its
    neighbours', until none changes.
    """
    chosen = {pair: max(found, key=lambda o: o.excess) for pair, found in options.items()}
    through: dict[Pair, list[Loop]] = {}
    for loop in loops_of(options):
        for pair, _ in loop:
            through.setdefault(pair, []).append(loop)
    # What is clear by itself is asked last: until then the others may have come right.
    order = sorted(options, key=lambda pair: (chosen[pair].ratio, pair))
    for _ in range(_SWEEPS):
        changed = False
        for pair in order:
            if len(options[pair]) < 2 or pair not in through:
                continue
            most = max(o.excess for o in options[pair])
            share = min(1.0, _MOST_EVIDENCE / most) if most > 0 else 1.0
            scores = [
                share * o.excess + _loops_say(pair, o, chosen, through[pair]) for o in options[pair]
            ]
            best = options[pair][int(np.argmax(scores))]
            changed |= best is not chosen[pair]
            chosen[pair] = best
        if not changed:
            break
    return chosen


def _loops_say(
    pair: Pair, option: LinkOption, chosen: Mapping[Pair, LinkOption], loops: Sequence[Loop]
) -> float:
    tried = {**chosen, pair: option}
    worth = 0.0
    for loop in loops:
        left = sum((s * np.array(tried[p].shift_px, float) for p, s in loop), np.zeros(2))
        # The evidence of a loop is that of its weakest other pair: a wrong one proves nothing.
        others = min(max(chosen[p].excess, 0.0) for p, _ in loop if p != pair)
        size = min(1.0, others / _LOOP_WORTH)
        worth += size * _LOOP_WORTH * (2 / (1 + (np.abs(left).max() / _OPEN_PX) ** 2) - 1)
    return float(worth)


def _misses(links: Mapping[Pair, Link]) -> list[tuple[Loop, NDArray[np.float64]]]:
    return [
        (loop, sum((s * np.array(links[p].shift_px) for p, s in loop), np.zeros(2)))
        for loop in loops_of(links)
    ]


def link_sigma(links: Sequence[Link]) -> float | None:
    """Estimate the standard deviation of a link per axis from what is left over round loops.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts; a part of them may be wrong.

    Returns
    -------
    float or None
        In px; None without a loop.
    """
    left = [miss for _, miss in _misses({(k.a, k.b): k for k in links})]
    if not left:
        return None
    # Wrong links spoil most loops long before they spoil most links: the best loops are asked.
    # A normal value lies within 0.1257 of its standard deviation in one case of ten.
    spread = float(np.percentile(np.abs(left), 10)) / 0.1257 / 2
    return float(np.clip(spread, *_SIGMA_PX))


def believable(links: Sequence[Link], sure: float) -> list[Link]:
    """Keep the links that stand alone, and those that close a loop with three that are kept.

    Alone stands what exceeds chance by far, has no rival as good, and leaves no more of a
    difference between its two tiles than other links do: a wrong shift of alike tissue may
    correlate well, but leaves more than the noise. Two of one tile that confirm each other are kept
    where they leave no more either, or exceed chance by far, and have no rival.

    Parameters
    ----------
    links : sequence of Link
        Measured shifts.
    sure : float
        Evidence from which a link needs no other.

    Returns
    -------
    list of Link
    """
    sigma = link_sigma(links) or 0.0
    tight = _OPEN_SIGMAS * 2 * sigma
    misses = [
        ({pair for pair, _ in loop}, float(np.abs(miss).max()))
        for loop, miss in _misses({(k.a, k.b): k for k in links})
    ]
    closed = [loop for loop, miss in misses if miss <= max(_OPEN_PX, tight)]
    misfits = _misfits(links, sure)
    odd = misfits or [False] * len(links)
    alone = [
        k.evidence >= sure and not far and not k.peak_ratio < _LEAST_RATIO
        for k, far in zip(links, odd, strict=True)
    ]
    kept = {(k.a, k.b) for k, own in zip(links, alone, strict=True) if own}
    like_others = [not far for far in misfits] or [False] * len(links)
    strong = {
        (k.a, k.b)
        for k, like in zip(links, like_others, strict=True)
        if (like or k.evidence >= _STRONG_EVIDENCE) and k.peak_ratio >= _STRONG_RATIO
    }
    firm = [loop for loop, miss in misses if miss <= tight]
    # Two links of one tile that are off by a period of its tissue close a loop as well: only
    # three that are believed confirm a fourth, unless the two have no rival.
    while confirmed := {
        *(p for loop in closed if len(loop - kept) == 1 for p in loop - kept),
        *(
            p
            for loop in firm
            if len(loop - kept) == 2 and loop - kept <= strong
            for p in loop - kept
        ),
    }:
        kept |= confirmed
    return [k for k in links if (k.a, k.b) in kept]


def _misfits(links: Sequence[Link], sure: float) -> list[bool]:
    """Say which links leave far more of a difference than the others; empty if too few tell."""
    logs = np.array([np.log(max(k.misfit, 1e-12)) for k in links])
    told = np.array([k.evidence >= sure for k in links], bool)
    known = logs[told & np.isfinite(logs)]
    if len(known) < _FEWEST_MISFITS:
        return []
    middle = float(np.median(known))
    spread = max(spread_about(known, middle), _LEAST_MISFIT_SPREAD)
    return [bool(one > middle + _MOST_MISFIT * spread) for one in logs]
