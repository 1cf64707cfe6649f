"""Read the tile folders of a serial-OCT acquisition: names, ``info.txt`` and file sizes."""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mosaicflow.acquisition.drafts import Draft, with_retries
from mosaicflow.acquisition.find.oct_checks import check_sizes
from mosaicflow.acquisition.find.oct_folders import TileFolder, find_tile_folders
from mosaicflow.acquisition.find.scan_info import ScanInfo, parse_scan_info
from mosaicflow.acquisition.tiles import Geometry, RawFile
from mosaicflow.errors import FormatError, InputError
from mosaicflow.io.remote_files import scan
from mosaicflow.io.tables import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mosaicflow.acquisition.problems import ProblemLog
    from mosaicflow.acquisition.settings import InspectSettings

__all__ = ["collect_folders", "collect_oct_tiles", "read_overlap"]

_BIN = re.compile(r"image_?(\d+)\.bin", re.IGNORECASE)
_PREFERENCE = ("table", "acquisition", "per_slice", "flat", "archived")
_UM_PER_MM = 1000.0
# Of info.txt, a short text: of a file that is none, no more is read.
_MOST_INFO_BYTES = 2**20


def collect_oct_tiles(root: Path, settings: InspectSettings, log: ProblemLog) -> list[Draft]:
    """List the OCT tiles below a folder, with their geometry and stage position.

    Parameters
    ----------
    root : Path
        The raw folder.
    settings : InspectSettings
        Layout, overrides and units.
    log : ProblemLog
        Takes what was wrong.

    Returns
    -------
    list of Draft
        One per tile folder, unusable ones included; empty when the folder holds none.
    """
    folders = [f for f in find_tile_folders(root, settings.layout) if settings.wants(f.z)]
    return collect_folders(root, folders, settings, log)


def collect_folders(
    root: Path, folders: Sequence[TileFolder], settings: InspectSettings, log: ProblemLog
) -> list[Draft]:
    """Read the given tile folders; see `collect_oct_tiles`."""
    entries = [_Entry(root, folder, settings) for folder in folders]
    drafts: list[Draft] = []
    slices: dict[int, list[_Entry]] = defaultdict(list)
    for entry in _without_duplicates(entries, log):
        slices[entry.draft.slice_id].append(entry)
    nothing_known = not any(e.info for e in entries) and not settings.scan.is_complete
    if entries and nothing_known:
        _stop_without_info(entries[0], log)
        return [entry.draft for entry in entries]
    for slice_entries in slices.values():
        for entry in slice_entries:
            entry.report(log)
        _borrow_missing_info(slice_entries, log)
        slice_drafts = [entry.draft for entry in slice_entries]
        check_sizes(slice_drafts, settings.sample_type, log)
        drafts += slice_drafts
    return drafts


class _Entry:
    """A tile folder with what could be read from it."""

    def __init__(self, root: Path, folder: TileFolder, settings: InspectSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.draft = Draft(folder.z, folder.path, folder.layout, index=folder.index)
        self.text: bytes | None = None
        self.info_fault = ""
        self.file_fault = folder.fault
        self.info = self._read(root / folder.path)
        if self.info is not None:
            self._apply(self.info, with_position=True)

    def _read(self, path: Path) -> ScanInfo | None:
        if self.file_fault:
            return None
        try:
            self.draft.files = _bin_files(path)
        except OSError as error:
            self.file_fault = f"cannot be read ({error.strerror})"
            return None
        try:
            self.text = with_retries(lambda: _regular_bytes(path / "info.txt"))
            text = self.text.decode("utf-8", errors="replace")
            return parse_scan_info(text, self.settings.scan)
        except FileNotFoundError:
            self.info_fault = "info.txt is missing"
            if self.settings.scan.is_complete:
                return parse_scan_info("", self.settings.scan)
        except OSError as error:
            self.info_fault = f"info.txt cannot be read ({error.strerror})"
        except FormatError as error:
            self.info_fault = f"info.txt cannot be used: {error}"
        return None

    def _apply(self, info: ScanInfo, *, with_position: bool) -> None:
        self.draft.geometry = Geometry(
            n_z=info.n_z,
            n_alines=info.n_alines,
            n_bscans=info.n_bscans,
            n_extra=info.n_extra,
            n_repeat=info.n_repeat,
            pitch_fast_um=info.width_um / info.n_alines,
            pitch_slow_um=info.height_um / info.n_bscans,
            top_z=info.top_z,
        )
        x_mm, y_mm, z_mm = info.stage_xyz
        scale = 1.0 if self.settings.stage_unit == "mm" else 1 / _UM_PER_MM
        if with_position and x_mm is not None and y_mm is not None:
            self.draft.centre_mm = (y_mm * scale, x_mm * scale)
            self.draft.positions = "stage"
        if with_position and z_mm is not None:
            self.draft.z_mm = z_mm * scale

    def borrow(self, sibling: ScanInfo, log: ProblemLog) -> None:
        """Take the scan parameters of a tile of the same slice."""
        self._apply(sibling, with_position=False)
        message = f"{self.info_fault}; the parameters of its neighbours are used, no position"
        self.draft.repair(log, "info_borrowed", message)

    def report(self, log: ProblemLog) -> None:
        """Record what is wrong with this tile alone."""
        folder, draft = self.folder, self.draft
        if folder.container_z not in (None, folder.z):
            draft.note(
                log, "slice_mismatch",
                f"lies in the folder of slice {folder.container_z}; slice {folder.z} of the name "
                "is used",
            )  # fmt: skip
        for code, text in self.info.notes if self.info else ():
            draft.note(log, code, f"info.txt: {text}")
        if self.file_fault:
            draft.skip(log, "unreadable_tile", self.file_fault)
        elif folder.layout == "archived":
            draft.skip(log, "archived_tile", "only metadata is kept; it counts for shifts")
        elif not draft.files:
            draft.skip(log, "no_bin_file", "holds no image_*.bin")
        elif draft.bytes == 0:
            draft.skip(log, "empty_bin_file", "its image_*.bin have no bytes")


def _regular_bytes(path: Path) -> bytes:
    # Opening a pipe would wait for ever, and no scan needs more text than this.
    if not path.is_file() and path.exists():
        raise OSError(errno.EINVAL, "not a file")
    with path.open("rb") as file:
        return file.read(_MOST_INFO_BYTES)


def _bin_files(path: Path) -> tuple[RawFile, ...]:
    with with_retries(lambda: scan(path)) as entries:
        found = []
        for entry in entries:
            match = _BIN.fullmatch(entry.name)
            if match and entry.is_file():
                status = entry.stat()
                file = RawFile(entry.name, status.st_size, status.st_mtime_ns)
                found.append((int(match[1]), entry.name, file))
    return tuple(file for _, _, file in sorted(found, key=lambda item: item[:2]))


def _without_duplicates(entries: list[_Entry], log: ProblemLog) -> list[_Entry]:
    places: dict[tuple[int, tuple[int, int] | str], list[_Entry]] = defaultdict(list)
    for entry in entries:
        places[(entry.folder.z, entry.folder.index or entry.folder.path)].append(entry)
    kept = []
    for same in places.values():
        same.sort(key=lambda e: (_PREFERENCE.index(e.folder.layout), e.folder.path))
        kept.append(same[0])
        for other in same[1:]:
            kept += _resolve_duplicate(same[0], other, log)
    return kept


def _resolve_duplicate(first: _Entry, other: _Entry, log: ProblemLog) -> list[_Entry]:
    if first.text == other.text and first.draft.bytes == other.draft.bytes:
        first.draft.note(
            log, "duplicate_tile", f"{other.folder.path} is a copy of it and is left out"
        )
        return []
    first.draft.stop(
        log, "two_tiles_at_one_place",
        f"{other.folder.path} has the same place in the lattice but other data",
        remedy="remove one of the two folders",
    )  # fmt: skip
    return []


def _stop_without_info(entry: _Entry, log: ProblemLog) -> None:
    entry.draft.stop(
        log, "no_scan_info",
        f"{entry.file_fault or entry.info_fault}, and no other tile has a usable info.txt",
        remedy="give --nx --ny --nz --n_extra --width_um --height_um",
    )  # fmt: skip


def _borrow_missing_info(entries: list[_Entry], log: ProblemLog) -> None:
    known = [entry for entry in entries if entry.info is not None]
    agreed = len({entry.draft.geometry for entry in known}) == 1
    for entry in entries:
        if entry.info is not None or not entry.draft.is_used:
            continue
        if not known:
            reason = f"no tile of the slice has a usable info.txt ({entry.info_fault})"
            slice_id = entry.draft.slice_id
            log.add(
                "no_scan_info_in_slice", "fail", reason, slice_id=slice_id, path=entry.folder.path,
                remedy="give --nx --ny --nz --n_extra --width_um --height_um",
            )  # fmt: skip
            return
        if agreed and (info := known[0].info) is not None:
            entry.borrow(info, log)
        else:
            entry.draft.skip(
                log, "no_scan_info_in_tile",
                f"{entry.info_fault}, and the tiles of its slice differ",
            )  # fmt: skip


def read_overlap(root: Path, slice_id: int) -> float | None:
    """Read the nominal overlap that the acquisition software noted, if it did.

    Parameters
    ----------
    root : Path
        The raw folder; ``state.json`` there speaks for all slices.
    slice_id : int
        ``slice_zNN/metadata.json`` of this slice wins.

    Returns
    -------
    float or None
        Share of a tile's width.
    """
    folders = sorted(root.glob("slice_z*/metadata.json"))
    own = [p for p in folders if re.fullmatch(rf"slice_z0*{slice_id}", p.parent.name)]
    for path in (*own, root / "state.json"):
        value: Any = _json_or_none(path)
        overlap = value.get("overlap_fraction") if isinstance(value, dict) else None
        if isinstance(overlap, int | float) and 0 <= overlap < 1:
            return float(overlap)
    return None


def _json_or_none(path: Path) -> Any:  # noqa: ANN401  # any JSON value
    # These files are optional hints of other software, so a damaged one is the same as none.
    try:
        return read_json(path) if path.is_file() else None
    except InputError:
        return None
