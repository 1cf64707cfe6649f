"""Every file name of a run: made, read and given its place here, and nowhere else.

A slice is called ``zNN`` in names, with two digits or more; the same slice has the same digits in
all names of a run, because an engine looks for a name before the file is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from mosaicflow.errors import InputError

__all__ = [
    "GRID_STORES",
    "KINDS",
    "PUBLISHED",
    "REPORTED",
    "SLICE_STORES",
    "TO_JUDGE",
    "Kind",
    "PlaceRule",
    "about",
    "channel_name",
    "format_slice_id",
    "kind_of",
    "labels_in",
    "parse_slice_id",
    "place_rules",
    "published_folder",
    "slice_label",
    "split_channel",
    "stem_of",
]

_ID_IN_NAME = re.compile(r"(?:^|_)z(\d+)(?=[_.]|$)", re.IGNORECASE)
# Digits of a slice id, by judgement: times of day are ids. Python refuses to count 4301.
_LONGEST_ID = 18
_BARE_ID = re.compile(r"\s*z?(\d+)(?:\.0*)?\s*", re.IGNORECASE)
_LABEL = "{z}"
_CHANNEL = re.compile(r"_c(\d+(?:cos|sin)?)$")
# Endings of two parts; a stem is what stands before its ending.
_ENDINGS = (".ome.zarr", ".ome.tif", ".bdv.xml", ".crc32c.json", ".metrics.json", ".problems.json")


def format_slice_id(slice_id: int, digits: int = 2) -> str:
    """Write a slice id the way file names carry it: zero-padded, two digits or more."""
    return f"{slice_id:0{digits}d}"


def slice_label(slice_id: int, digits: int = 2) -> str:
    """Call a slice as names do: ``z07``."""
    return f"z{format_slice_id(slice_id, digits)}"


def parse_slice_id(name: str | Path) -> int:
    """Read the slice id out of a file name or a table cell.

    Parameters
    ----------
    name : str or Path
        A file name such as ``slice_z07_stitch_3d.ome.zarr`` (the first ``zNN`` counts), or a bare
        id: ``7``, ``07``, ``7.0``, ``z7``.

    Returns
    -------
    int
        The id; ``z7``, ``z07`` and ``z007`` are the same slice.

    Raises
    ------
    InputError
        When the name holds no id.
    """
    text = name.name if isinstance(name, Path) else name.rsplit("/", 1)[-1]
    match = _BARE_ID.fullmatch(text) or _ID_IN_NAME.search(text)
    if match is None:
        raise InputError(f"{name}: found no slice id, expected 'zNN' in the name or a whole number")
    digits = match.group(1).lstrip("0")
    if len(digits) > _LONGEST_ID:
        raise InputError(f"{name:.40}: a slice id of {len(digits)} digits, expected a few")
    return int(digits or "0")


def labels_in(name: str) -> tuple[str, ...]:
    """List the slices that a name speaks of, as it spells them: ``z07``."""
    return tuple(f"z{digits}" for digits in _ID_IN_NAME.findall(name))


def stem_of(name: str) -> str:
    """Give a name without its ending: ``slice_z07_normalize`` of ``.ome.zarr`` and ``.png``."""
    ending = next((one for one in _ENDINGS if name.endswith(one)), None)
    return name.removesuffix(ending) if ending else name.rpartition(".")[0]


def channel_name(name: str, part: str) -> str:
    """Name what another channel than the measured one has in place of an output.

    Parameters
    ----------
    name : str
        Of the measured channel, such as ``slice_z07_stitch_3d.ome.zarr``.
    part : str
        Such as ``1``, or ``1cos``; empty for the measured channel.
    """
    stem = stem_of(name)
    return f"{stem}_c{part}{name.removeprefix(stem)}" if part else name


def split_channel(name: str) -> tuple[str, str]:
    """Give back what `channel_name` was called with; a stem will do for a name."""
    stem = stem_of(name) or name
    match = _CHANNEL.search(stem)
    if match is None:
        return name, ""
    return stem.removesuffix(match[0]) + name.removeprefix(stem), match[1]


@dataclass(frozen=True)
class Kind:
    """One kind of file or store.

    Parameters
    ----------
    pattern : str
        Its name; ``{z}`` stands for the label of a slice, twice in what is about a pair.
    folder : str
        Where it is published, below the output folder; empty for its top.
    sometimes : bool
        Whether a sound run may be without it: where the data show nothing that it could say.
    """

    pattern: str
    folder: str
    sometimes: bool = False

    def of(self, *labels: str) -> str:
        """Make the name of a slice's, a pair's or a run's file.

        Parameters
        ----------
        *labels : str
            As `slice_label` writes them; as many as the pattern has.
        """
        parts = self.pattern.split(_LABEL)
        if len(labels) != len(parts) - 1:
            raise ValueError(f"{self.pattern}: found {len(labels)} labels")
        return "".join(part for pair in zip(parts, (*labels, ""), strict=True) for part in pair)

    @property
    def n_labels(self) -> int:
        """How many slices a name of it speaks of."""
        return self.pattern.count(_LABEL)

    def labels(self, name: str) -> tuple[str, ...] | None:
        """Read the labels in a name; None when it is of another kind."""
        found = self._expression.fullmatch(name)
        return None if found is None else found.groups()

    def ids(self, name: str) -> tuple[int, ...] | None:
        """Read the slice ids in a name; None when it is of another kind."""
        labels = self.labels(name)
        return None if labels is None else tuple(int(label[1:]) for label in labels)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(r"(z\d+)".join(map(re.escape, self.pattern.split(_LABEL))))

    @cached_property
    def stem_expression(self) -> re.Pattern[str]:
        """What its name without ending looks like."""
        return re.compile(r"(z\d+)".join(map(re.escape, stem_of(self.pattern).split(_LABEL))))


# Of the whole run.
ACQUISITION = Kind("acquisition.json", "tables")
SHIFTS = Kind("shifts_xy.csv", "tables")
CLEAN_SHIFTS = Kind("shifts_xy_clean.csv", "tables")
LEDGER = Kind("slice_config.csv", "tables")
FINAL_LEDGER = Kind("slice_config_final.csv", "tables")
REHOMING_LEDGER = Kind("rehoming_config.csv", "tables")
REHOMING = Kind("rehoming_report.json", "tables")
ILLUMINATION = Kind("illumination.npz", "tables")
CURVATURE = Kind("focal_curvature.json", "tables", sometimes=True)
STAGE_MODEL = Kind("stage_model.json", "tables")
DISTORTION = Kind("tile_distortion.csv", "tables")
DISTORTION_PICTURE = Kind("tile_distortion.png", "previews")
ALIGNMENT = Kind("alignment.json", "tables")
PROFILE = Kind("depth_profile.json", "tables")
MATCHES = Kind("z_matches.csv", "tables")
DECISIONS = Kind("stacking_decisions.csv", "tables")
INTENSITIES = Kind("stack_z_intensity.csv", "tables")
LAYOUT = Kind("layout.png", "previews")
PLACEMENTS = Kind("tile_positions.png", "previews")
RECORD = Kind("run.json", "pipeline_info")
WORKFLOW = Kind("main.nf", "pipeline_info")
PAGE = Kind("report.html", "")
GUIDE = Kind("README.txt", "")
CRATE = Kind("ro-crate-metadata.json", "")

# Of one slice.
TILES = Kind("{z}_tiles.json", "tables")
LINKS = Kind("{z}_tile_links.csv", "tables")
STAGE = Kind("{z}_tile_stage.json", "tables")
WINDOWS = Kind("{z}_tile_windows.csv", "tables")
POSITIONS = Kind("{z}_tile_positions.csv", "tables")
RESIDUALS = Kind("{z}_link_residuals.csv", "tables")
LATTICE = Kind("{z}_transform_xy.npy", "transforms")
TILE_CONFIGURATION = Kind("{z}_TileConfiguration.txt", "tables")
BIGSTITCHER = Kind("{z}_tiles.bdv.xml", "tables")
FAILURE = Kind("{z}_failure.json", "tables")
GRID = Kind("mosaic_grid_3d_{z}.ome.zarr", "mosaic_grids")
GRID_PROBLEMS = Kind("mosaic_grid_3d_{z}.problems.json", "tables")
RESAMPLED = Kind("mosaic_grid_3d_{z}_resampled.ome.zarr", "mosaic_grids")
EVENLY_LIT = Kind("mosaic_grid_3d_{z}_illum_fix.ome.zarr", "mosaic_grids")
FLAT = Kind("mosaic_grid_3d_{z}_focal_fix.ome.zarr", "mosaic_grids")
FLAT_METRICS = Kind("mosaic_grid_3d_{z}_focal_fix.metrics.json", "metrics")
STITCHED = Kind("slice_{z}_stitch_3d.ome.zarr", "slices/stitch_3d")
STITCHED_PICTURE = Kind("slice_{z}_stitch_3d.png", "previews")
AXIAL = Kind("slice_{z}_axial_corr.ome.zarr", "slices/axial_corr")
CROPPED = Kind("slice_{z}_crop_interface.ome.zarr", "slices/crop_interface")
CROPPED_METRICS = Kind("slice_{z}_crop_interface.metrics.json", "metrics")
NORMALIZED = Kind("slice_{z}_normalize.ome.zarr", "slices/normalize")
NORMALIZED_PICTURE = Kind("slice_{z}_normalize.png", "previews")
NORMALIZED_METRICS = Kind("slice_{z}_normalize.metrics.json", "metrics")

# Of a pair of slices, the upper one first.
TRANSFORM = Kind("{z}_{z}_transform.json", "transforms")
MOTION = Kind("{z}_{z}_transform.tfm", "transforms")
PAIR_FAILURE = Kind("{z}_{z}_failure.json", "tables")

KINDS = tuple(kind for kind in dict(globals()).values() if isinstance(kind, Kind))

# Whose names users or plug-ins choose, or that lie beside an output of any kind.
_OTHERS = (
    (r".*\.metrics\.json", "metrics"),
    (r".*_(?:tiles|slices)(?:\.xml|_TileConfiguration\.txt)", "exports"),
    (r".*\.(?:mrc|nii|ome\.tif|ply|stl|obj|glb|pickle)|.*_export\.crc32c\.json", "exports"),
    # The second is where a volume lies that was written into a bucket.
    (r".*\.ome\.zarr(?:\.address)?|.*\.crc32c\.json", ""),
    (r".*\.png", "previews"),
    # What earlier versions made may still lie in the folder of a run.
    (r".*\.(?:json|csv|npz)", "tables"),
    (r".*\.txt", ""),
)

PUBLISHED = frozenset(
    {kind.folder.split("/")[0] for kind in KINDS} | {folder for _, folder in _OTHERS}
) - {""}
"""Folders at the top of the output tree."""


GRID_STORES, SLICE_STORES = "mosaic_grids", "slices/"
"""Where the grids and slices of all stages are."""
TO_JUDGE = ("slices/normalize", "transforms", "previews")
"""What to look at to see how good a result is."""
REPORTED = r"(?!.*\.crc32c\.json).*\.(?:json|csv|png)"
"""What the report reads: tables, metrics, records and pictures, no voxels and no checksums."""


@cache
def published_folder(name: str) -> str:
    """Name the folder of the output tree that a file or store belongs to.

    Parameters
    ----------
    name : str
        Base name of an output.

    Returns
    -------
    str
        Path below the output folder; empty for its top.
    """
    for rule in place_rules():
        if (found := re.fullmatch(rule.pattern, name)) is not None:
            of_channel = rule.by_channel and found[1]
            return f"{rule.folder}_c{found[1]}" if of_channel else rule.folder
    raise ValueError(f"no place in the output tree for {name}")


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """Where outputs with names of one form are published.

    Parameters
    ----------
    pattern : str
        Of the whole name, in words that Python and Java share. Of what a stage names, group 1 is
        the channel; other rules have no group.
    folder : str
        Below the output folder; empty for its top.
    by_channel : bool
        Whether another channel has a folder of its own, which ends like the name.
    """

    pattern: str
    folder: str
    by_channel: bool = False


@cache
def place_rules() -> tuple[PlaceRule, ...]:
    """Say where everything is published; the first rule that fits a name counts."""
    # A list of checksums lies beside the output whose name it has.
    own = [_place_rule(kind, ending) for ending in ("", ".crc32c.json") for kind in KINDS]
    return (*own, *(PlaceRule(pattern, folder) for pattern, folder in _OTHERS))


def _place_rule(kind: Kind, ending: str) -> PlaceRule:
    stem = stem_of(kind.pattern)
    ending = ending or kind.pattern.removeprefix(stem)
    form = r"z\d+".join(map(re.escape, stem.split(_LABEL)))
    is_slice = kind.folder.startswith(SLICE_STORES)
    pattern = rf"{form}(?:_c(\d+(?:cos|sin)?))?{re.escape(ending)}"
    return PlaceRule(pattern, kind.folder, is_slice)


def about(name: str) -> tuple[int, ...]:
    """Tell which slices a file of a run is about: one, two of a pair, or none.

    Parameters
    ----------
    name : str
        Base name of an output or of what lies beside it, or its stem.
    """
    kind = kind_of(name)
    return () if kind is None else tuple(int(label[1:]) for label in labels_in(name))


def kind_of(name: str) -> Kind | None:
    """Tell of which kind an output is, or what lies beside it; None where users name it."""
    own, _ = split_channel(name)
    stems = (stem_of(own), own)
    return next((k for k in KINDS if any(map(k.stem_expression.fullmatch, stems))), None)
