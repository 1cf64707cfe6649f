"""How far registered pairs miss the truth, and whether their standard errors say so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaicflow import names
from mosaicflow.io.tables import read_document
from mosaicflow.rigid import Rigid2D
from mosaicflow.simulation.slice_error import middle_um
from mosaicflow.simulation.volume_error import without_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mosaicflow.simulation.results import PublishedFiles

__all__ = ["LinkErrors", "PairMiss", "link_errors"]

F64 = NDArray[np.float64]
ToSlice = tuple[F64, F64]
"""Matrix and offset from the specimen (um; y, x) to the px of a slice."""


@dataclass(frozen=True, slots=True)
class PairMiss:
    """Errors of one registered pair beside the standard errors that it claims.

    Parameters
    ----------
    fixed_id, moving_id : int
        The slices.
    shares_tissue : bool
        Whether both were compared where they show the same tissue.
    shift_yx_px : tuple of float
        Error (y, x) of the place of the middle of both slices' tissue, in px of the slices.
    sigma_px : float
        What the pair claims per axis.
    rotation_deg, sigma_deg : float
        Error of the rotation, and the claim.
    depth_um, depth_sigma_um : float or None
        Error of the distance of the faces, and the claim; None where it was not measured.
    """

    fixed_id: int
    moving_id: int
    shares_tissue: bool
    shift_yx_px: tuple[float, float]
    sigma_px: float
    rotation_deg: float
    sigma_deg: float
    depth_um: float | None
    depth_sigma_um: float | None


@dataclass(frozen=True, slots=True)
class LinkErrors:
    """Error over standard error of the pairs that share tissue, root mean square.

    Parameters
    ----------
    shift_calibration, rotation_calibration, depth_calibration : float or None
        1 where the claims are right, more where they promise too much; None without any pair.
    pairs : tuple of PairMiss
        All pairs that registration did not turn down.
    """

    shift_calibration: float | None
    rotation_calibration: float | None
    depth_calibration: float | None
    pairs: tuple[PairMiss, ...]


def link_errors(
    files: PublishedFiles, known: Mapping[str, Any], frames: Mapping[int, ToSlice]
) -> LinkErrors | None:
    """Compare every pair of a run that was registered with the truth.

    Parameters
    ----------
    files : PublishedFiles
        The run.
    known : mapping
        The truth.
    frames : mapping
        Slice id -> where the specimen lies in it.

    Returns
    -------
    LinkErrors or None
        None where no pair of slices that show their own tissue was registered.
    """
    truths = {piece["slice_id"]: piece for piece in known["slices"]}
    seen = frames.keys() - without_image(known)
    interval_um = 1000 * known["settings"]["lattice"]["slicing_interval_mm"]
    pairs = []
    records = [(str(path), read_document(path)) for path in files.of(names.TRANSFORM)]
    for path in files.of(names.ALIGNMENT):
        records += [(str(path), one) for one in read_document(path).get("bridges", ())]
    for where, record in records:
        ids = int(record["fixed_id"]), int(record["moving_id"])
        if record.get("status", "ok") == "ok" and seen.issuperset(ids):
            sides = [(truths[i], frames[i]) for i in ids]
            pairs.append(_miss(record, where, sides, interval_um))
    if not pairs:
        return None
    shared = [one for one in pairs if one.shares_tissue]
    return LinkErrors(
        _rms([v / one.sigma_px for one in shared for v in one.shift_yx_px]),
        _rms([one.rotation_deg / one.sigma_deg for one in shared if one.sigma_deg > 0]),
        _rms([
            one.depth_um / one.depth_sigma_um
            for one in shared
            if one.depth_um is not None and one.depth_sigma_um
        ]),
        tuple(pairs),
    )  # fmt: skip


def _miss(
    record: Mapping[str, Any],
    where: str,
    sides: Sequence[tuple[Mapping[str, Any], ToSlice]],
    interval_um: float,
) -> PairMiss:
    (upper, to_upper), (lower, to_lower) = sides
    motion = Rigid2D.from_json(record, where)
    place = (middle_um(upper) + middle_um(lower)) / 2
    at, true = (matrix @ place + offset for matrix, offset in (to_upper, to_lower))
    y, x = motion.apply(at) - np.array(record["stage_offset_yx"]) - true
    cuts = lower["slice_id"] - upper["slice_id"]
    drift, sigma = record.get("z_drift_planes"), record.get("z_sigma_planes")
    plane_um = record["pitch_um"][0]
    is_known = drift is not None and sigma is not None and math.isfinite(sigma)
    found_um = cuts * interval_um + plane_um * drift if is_known else math.nan
    return PairMiss(
        fixed_id=upper["slice_id"],
        moving_id=lower["slice_id"],
        shares_tissue=not record["distance_planes"],
        shift_yx_px=(float(y), float(x)),
        sigma_px=float(record["sigma_px"]),
        rotation_deg=motion.angle_deg - (lower["angle_deg"] - upper["angle_deg"]),
        sigma_deg=float(record["sigma_deg"]),
        depth_um=found_um - (lower["face_um"] - upper["face_um"]) if is_known else None,
        depth_sigma_um=plane_um * sigma if is_known else None,
    )


def _rms(ratios: Sequence[float]) -> float | None:
    return math.sqrt(math.fsum(v**2 for v in ratios) / len(ratios)) if ratios else None
