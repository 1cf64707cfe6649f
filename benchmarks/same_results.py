#!/usr/bin/env python3
"""Compare two result folders of the same acquisition: what a move of code must leave as it was.

Arrays, tables and pictures are compared byte for byte (crc32c), JSON by content but for times,
durations, versions and facts about the machine. Keys of JSON that only the second folder has are
listed, and are no difference. Where something differs, the largest change of a place and of a voxel
is said, which a merger may make by rounding::

    python benchmarks/same_results.py before after
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from mosaicflow.io.zarr import open_level

if TYPE_CHECKING:
    from collections.abc import Iterator

# Folders about the engine's own work, and the page and the crate, which are made of the rest.
APART = (".mosaicflow", "report.html", "ro-crate-metadata.json")
# Keys whose values tell when, how long, by which version or on which machine.
PASSING = re.compile(
    r"timestamp|.*seconds.*|.*time.*|software|version|versions|host|threads|engine|output|"
    r"command|machine|python|closing|.*_digest|inputs"
)


def compare(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """Give the differences, and the keys that only the second folder has."""
    names = [_names(root) for root in (first, second)]
    differences = [f"only in one: {name}" for name in sorted(names[0] ^ names[1])]
    added: set[str] = set()
    for name in sorted(names[0] & names[1]):
        files = first / name, second / name
        if files[0].suffix == ".json" or files[0].name in (".zattrs", "run.json"):
            documents = [_lasting(json.loads(file.read_text("utf-8"))) for file in files]
            found = list(_unlike(documents[0], documents[1], ""))
            added |= {key for key, is_new in found if is_new}
            differences += [f"{name}: {key}" for key, is_new in found if not is_new]
        elif len({google_crc32c.value(file.read_bytes()) for file in files}) > 1:
            differences.append(f"{name}: other bytes")
    return differences, sorted(added)


def _names(root: Path) -> set[str]:
    found = (path for path in root.rglob("*") if path.is_file())
    names = {path.relative_to(root).as_posix() for path in found}
    # Checksums are of what is compared here, metrics with their times among it.
    return {n for n in names if not n.startswith(APART) and not n.endswith(".crc32c.json")}


def _lasting(value: Any) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, dict):
        return {k: _lasting(one) for k, one in value.items() if not PASSING.fullmatch(k)}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def _unlike(first: Any, second: Any, where: str) -> Iterator[tuple[str, bool]]:  # noqa: ANN401
    """Give what differs, and whether the second only adds it."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first.keys() | second.keys():
            here = f"{where}.{key}"
            if key not in first:
                yield here, True
            elif key not in second:
                yield f"{here} is gone", False
            else:
                yield from _unlike(first[key], second[key], here)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for one, other in zip(first, second, strict=True):
            yield from _unlike(one, other, f"{where}[]")
    elif first != second:
        yield f"{where}: {str(first)[:60]} became {str(second)[:60]}", False


def largest_changes(first: Path, second: Path, differences: list[str]) -> dict[str, float]:
    """Give the largest change of tiles and slices [px, deg], and of voxels [of the range]."""
    tables = [_numbers(root) for root in (first, second)]
    found: dict[str, float] = {}
    for key in tables[0].keys() & tables[1].keys():
        kind = key[0]
        found[kind] = max(found.get(kind, 0.0), abs(tables[0][key] - tables[1][key]))
    stores = {one.partition(".ome.zarr/")[0] for one in differences if ".ome.zarr/" in one}
    both = [(first / f"{one}.ome.zarr", second / f"{one}.ome.zarr") for one in sorted(stores)]
    voxels = (_voxel_change(*pair) for pair in both if all(one.is_dir() for one in pair))
    return {**found, "voxels, of the range": max(voxels, default=0.0)}


def _numbers(root: Path) -> dict[tuple[str, str], float]:
    found = {}
    for table in root.rglob("*_tile_positions.csv"):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                tile = f"{table.name} {row['iy']} {row['ix']}"
                found |= {
                    ("tiles [px]", f"{tile} {k}"): float(row[k]) for k in ("row_px", "col_px")
                }
    for path in root.rglob("alignment.json"):
        for one in json.loads(path.read_text(encoding="utf-8"))["slices"]:
            name = str(one["slice_id"])
            shift = enumerate(one["translation_yx"])
            found |= {("slices [px]", f"{name} {axis}"): value for axis, value in shift}
            found["slices [deg]", name] = one["angle_deg"]
    return found


def _voxel_change(first: Path, second: Path) -> float:
    one, other = open_level(first), open_level(second)
    if one.shape != other.shape:
        return float("inf")
    change = span = 0.0
    for start in range(0, one.shape[0], one.chunks[0]):
        planes = slice(start, start + one.chunks[0])
        parts = [np.nan_to_num(np.asarray(level[planes], np.float32)) for level in (one, other)]
        change = max(change, float(np.abs(parts[0] - parts[1]).max()))
        span = max(span, float(np.ptp(parts[0])))
    return change / span if span else change


def main() -> int:
    """Print what differs; exit code 1 when something does."""
    first, second = map(Path, sys.argv[1:3])
    differences, added = compare(first, second)
    n_files = len(_names(first))
    sys.stdout.write("".join(f"{one}\n" for one in differences))
    sys.stdout.write("".join(f"new key: {one}\n" for one in added))
    if differences:
        changes = largest_changes(first, second, differences).items()
        sys.stdout.write("".join(f"largest change, {name}: {much:.2g}\n" for name, much in changes))
    sys.stdout.write(f"{n_files} files, {len(differences)} differences\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
