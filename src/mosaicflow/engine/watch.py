"""Watching a raw folder that a microscope still writes to: which of its slices are complete."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mosaicflow.engine.disk import say
from mosaicflow.errors import MosaicflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mosaicflow.acquisition.discover import Acquisition
    from mosaicflow.acquisition.tiles import SliceTiles
    from mosaicflow.engine.parameters import Parameters
    from mosaicflow.engine.progress import Telling
    from mosaicflow.engine.result import RunResult
    from mosaicflow.engine.run import OpenRun

__all__ = ["FINISHED", "Watched", "watch_pipeline"]

# A file of this name says that what lies in and below its folder is written.
FINISHED = "FINISHED"
# The acquisition counts as over when its folder has been still for that many times as long as a
# slice has to be [factor]: cutting a section takes longer than a tile. Twice as many, and the end
# of a run comes twice as late; half as many, and a slow cut ends the watch (the same command goes
# on).
_END = 10
# Looks per time of stillness [1]: doubled, a slice is taken 5 % of that time sooner.
_LOOKS = 10
# Longest wait between two looks [s], and the share of the time that looking may take [1], both by
# judgement. Doubled, a slice is taken 10 s later; a slow disk is asked twice as often.
_LONGEST_S, _SHARE = 10.0, 0.1

Listing = dict[str, tuple[int, int]]


@dataclass(slots=True)
class Watched:
    """What is known of a raw folder from looking at it again and again.

    Nothing is read but names, sizes, times and headers. All times are this machine's own: clocks
    of microscopes differ.

    Parameters
    ----------
    root : Path
        Raw folder.
    find : callable
        Finds the acquisition in it; may raise `MosaicflowError` while half of it is there.
    still_s : float
        A slice is complete when nothing of it has changed for that long.
    """

    root: Path
    find: Callable[[], Acquisition]
    still_s: float
    reason: str = ""
    _listing: Listing | None = None
    _changed_s: float = 0.0
    _slices: dict[int, SliceTiles] = field(default_factory=dict)
    _since: dict[int, tuple[str, float]] = field(default_factory=dict)
    _took_s: float = 0.0

    def look(self, now_s: float) -> None:
        """See what is there now; what it holds is found again only where something changed."""
        start = time.perf_counter()
        listing = _listing_of(self.root)
        if listing != self._listing:
            self._listing, self._changed_s = listing, now_s
            self._find()
            prints = {z: _fingerprint(one, listing) for z, one in self._slices.items()}
            self._since = {
                z: self._since[z] if self._since.get(z, ("",))[0] == text else (text, now_s)
                for z, text in prints.items()
            }
        self._took_s = time.perf_counter() - start

    def _find(self) -> None:
        try:
            found = self.find()
        except MosaicflowError as error:  # half of a list of positions, say: later there is more
            self._slices, self.reason = {}, str(error.args[0])
            return
        stops = found.stops
        self.reason = stops[0].line() if stops else ""
        self._slices = {} if stops else {one.slice_id: one for one in found.slices}

    def complete(self, now_s: float) -> dict[int, str]:
        """Give the slices that are complete, each with what tells it from a later state of it.

        A slice with a tile that is not whole waits until a later one is complete, or the end.
        """
        still = {
            z: text
            for z, (text, since) in self._since.items()
            if now_s - since >= self.still_s or self._is_marked(self._slices[z])
        }
        last = max(still, default=-1)
        return {
            z: text
            for z, text in still.items()
            if z < last or _is_whole(self._slices[z]) or self._is_marked(self._slices[z])
        }

    def is_over(self, now_s: float) -> bool:
        """Whether the acquisition has ended."""
        is_still = now_s - self._changed_s >= _END * self.still_s
        return is_still or FINISHED in (self._listing or {})

    @property
    def seen(self) -> int:
        """Count the slices of which anything is there."""
        return len(self._slices)

    @property
    def wait_s(self) -> float:
        """Time until the next look."""
        return max(min(self.still_s / _LOOKS, _LONGEST_S), self._took_s / _SHARE)

    def _is_marked(self, one: SliceTiles) -> bool:
        """Whether somebody says in a folder of this slice alone that it is written."""
        own = _own_folder(one)
        below = [own, *own.parents][:-1]  # not the raw folder itself
        return any((folder / FINISHED).as_posix() in (self._listing or {}) for folder in below)


def watch_pipeline(
    raw: Path,
    root: Path,
    parameters: Parameters,
    threads: int,
    telling: Telling = "all",
    *,
    still_s: float,
) -> RunResult:
    """Run while the microscope still writes, and once more when it has ended.

    Slices are taken as they are complete, with the flat field and the stage model of the slices so
    far; what was made of a slice stays until the end, when all that depends on the others is done
    again.

    Parameters
    ----------
    raw, root, parameters, threads, telling
        As for `run_pipeline`.
    still_s : float
        A slice is complete when nothing of it has changed for that long.

    Returns
    -------
    RunResult
        Of the whole acquisition: what `run_pipeline` would give now.
    """
    from mosaicflow.acquisition.discover import discover
    from mosaicflow.engine.run import open_run
    from mosaicflow.stages.inspect_acquisition import InspectOptions, inspect_settings

    given = parameters.for_stage("inspect_acquisition")
    known = {name: value for name, value in given.items() if name in InspectOptions.__slots__}
    settings = inspect_settings(InspectOptions(**known))
    watched = Watched(raw, lambda: discover(raw, settings), still_s)
    taken: dict[int, str] = {}
    with open_run(raw, root, parameters, threads, telling) as run:
        watched.look(time.monotonic())
        while not watched.is_over(now := time.monotonic()):
            if (complete := watched.complete(now)).items() - taken.items():
                _take(run, parameters, watched, complete, taken)
                taken = complete
            else:
                time.sleep(watched.wait_s)
            before = watched.reason
            watched.look(time.monotonic())
            if watched.reason not in ("", before):
                say(f"watch: nothing is taken yet: {watched.reason}\n")
        say("watch: the acquisition has ended; what depends on all of its slices is done again\n")
        return run.through(parameters)


def _take(
    run: OpenRun,
    parameters: Parameters,
    watched: Watched,
    complete: Mapping[int, str],
    taken: Mapping[int, str],
) -> None:
    """Make a provisional result of the slices that are complete."""
    same = {z for z, text in complete.items() if taken.get(z) == text}
    others = watched.seen - len(complete)
    more = f", {others} more being written" if others else ""
    sentence = f"{len(complete)} slices so far{more}; their flat field and places will change"
    say(f"watch: {sentence}\n")
    try:
        run.through(parameters.with_slices(complete), held=same, provisional=sentence)
    except MosaicflowError as error:  # with more slices it may be otherwise
        say(f"watch: no provisional result: {error.args[0]}\n")


def _own_folder(one: SliceTiles) -> PurePosixPath:
    """Give the folder that holds all tiles of a slice, relative to the raw folder."""
    folders = [PurePosixPath(tile.path).parent.as_posix() for tile in one.tiles]
    return PurePosixPath(os.path.commonpath(folders)) if folders else PurePosixPath()


def _is_whole(one: SliceTiles) -> bool:
    return not one.failure and all(tile.status in ("ok", "unplaced") for tile in one.tiles)


def _fingerprint(one: SliceTiles, listing: Mapping[str, tuple[int, int]]) -> str:
    """Tell a state of a slice from any other: its tiles, and all that lies in its own folder."""
    own = _own_folder(one).as_posix()
    beside = {} if own == "." else {n: s for n, s in listing.items() if n.startswith(f"{own}/")}
    text = json.dumps([one.to_dict(), beside], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _listing_of(root: Path) -> Listing:
    """List all files below a folder with their size and time."""
    found: Listing = {}
    top = root.parent if root.is_file() else root
    seen: set[str] = set()
    for folder, below, names in os.walk(top, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # links that go round
            below.clear()
            continue
        seen.add(real)
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:  # it was renamed in this moment
                continue
            place = os.path.relpath(path, top).replace(os.sep, "/")
            found[place] = (status.st_size, status.st_mtime_ns)
    return found
