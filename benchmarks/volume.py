"""How well slices are put where they were cut, beside what is asked for.

    python benchmarks/volume.py                          lists the sets
    python benchmarks/volume.py rough --seeds 601-605    one set, one run per seed
    python benchmarks/volume.py gap --seeds 601-620      20 gaps, judged together
    python benchmarks/volume.py brain --planes FOLDER    a real brain, cut with known motions

Each seed is simulated, run with the default settings and compared with its truth; then the worst
of all seeds stands beside what is asked for. Sets take from 2 to 40 minutes of one core per seed.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyclopts
import numpy as np

from mosaicflow.engine.parameters import Parameters
from mosaicflow.engine.run import run_pipeline
from mosaicflow.simulation import evaluate, preset, simulate
from mosaicflow.threads import limit_threads

if TYPE_CHECKING:
    from mosaicflow.simulation.evaluation import Evaluation

DROPPED, BAD = 2, 5
SMALL: dict[str, Any] = {"grid": (3, 3), "tile_shape": (100, 128, 128), "water_um": 55.0}
FAULTY = {**SMALL, "n_slices": 8, "missing_slices": (DROPPED,), "bad_slices": (BAD,)}
BRAIN: dict[str, Any] = {
    "volume_spacing_um": (50.0, 40.0, 40.0), "grid": (0, 0), "n_slices": 0,
    "tile_shape": (60, 120, 120), "pitch_um": (10.0, 20.0, 20.0), "resolution_um": 20.0,
    "slicing_interval_mm": 0.3, "truncated_tiles": (), "residual_shift_um": 30.0,
    "residual_rotation_deg": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """The range in which the worst seed must lie."""

    low: float = -math.inf
    high: float = math.inf

    def met(self, value: float) -> bool:
        """Say whether a value is good enough; one that is NaN is not."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


def at_least(limit: float) -> Asked:
    return Asked(low=limit)


def at_most(limit: float) -> Asked:
    return Asked(high=limit)


HONEST = Asked(0.7, 1.5)  # error over standard error, root mean square
VOLUME = ("NCC", "SSIM", "median px", "worst px")
DEEP = {
    "NCC": at_least(0.97), "mean plane": at_least(0.97), "SSIM": at_least(0.93),
    "median px": at_most(0.05), "worst px": at_most(0.1), "step um": at_most(2),
}  # fmt: skip
CLEAR = {"worst px": at_most(0.08), "step um": at_most(1.5)}
DIM = {"worst px": at_most(0.5), "bad error / sigma": at_most(2)}

# Name -> preset, what it changes, what is asked for.
SETS: dict[str, tuple[str, dict[str, Any], dict[str, Asked]]] = {
    "hard": ("hard", {}, {
        **dict(zip(VOLUME, (at_least(0.955), at_least(0.925), at_most(0.05), at_most(0.1)),
                   strict=True)),
        "spread um": at_most(4),
    }),
    "rough": ("hard", {**SMALL, "n_slices": 4, "rough": 0.05}, {
        **dict(zip(VOLUME, (at_least(0.94), at_least(0.91), at_most(0.05), at_most(0.08)),
                   strict=True)),
        "spread um": at_most(2),
    }),
    "deep24": ("deep", {}, {**DEEP, "spread um": at_most(6)}),
    "deep60": ("deep", {"n_slices": 60}, {**DEEP, "spread um": at_most(10)}),
    "dark": ("hard", {**FAULTY, "bad_kind": "dark"}, CLEAR),
    "noisy": ("hard", {**FAULTY, "bad_kind": "noisy"}, CLEAR),
    "blurred": ("hard", {**FAULTY, "bad_kind": "blurred"}, DIM),
    "half_empty": ("hard", {**FAULTY, "bad_kind": "half_empty"}, DIM),
    "gap": ("hard", {**SMALL, "grid": (2, 2), "n_slices": 5, "missing_slices": (DROPPED,)}, {
        "gap rms px": at_most(2), "gap error / sigma": HONEST,
        **dict.fromkeys(("pairs shift", "pairs rotation", "pairs depth"), HONEST),
    }),
    "brain": ("demo", BRAIN, {"worst px": at_most(0.1), "worst deg": at_most(0.05)}),
}  # fmt: skip


def numbers(run: Path, found: Evaluation) -> dict[str, float]:
    """Give every number that some set asks for, and what the pairs promise."""
    result: dict[str, float] = {}
    if found.volume is not None and (tissue := found.volume.tissue) is not None:
        result |= {"NCC": tissue.ncc, "SSIM": tissue.ssim, "mean plane": tissue.plane_ncc_mean}
    if (slices := found.slices) is not None:
        result |= {
            "median px": slices.shift_median_px,
            "worst px": slices.shift_worst_px,
            "worst deg": slices.rotation_worst_deg,
            "step um": slices.depth_step_worst_um,
            "spread um": slices.depth_spread_um,
        }
    if (links := found.links) is not None:
        result |= {
            f"pairs {name}": value
            for name, value in (
                ("shift", links.shift_calibration),
                ("rotation", links.rotation_calibration),
                ("depth", links.depth_calibration),
            )
            if value is not None
        }
        bad = [
            math.hypot(*one.shift_yx_px) / (math.sqrt(2) * one.sigma_px)
            for one in links.pairs
            if one.shares_tissue and BAD in (one.fixed_id, one.moving_id)
        ]
        result |= {"bad error / sigma": max(bad)} if bad else {}
    return result | across_gaps(run, found)


def across_gaps(run: Path, found: Evaluation) -> dict[str, float]:
    """Errors per axis of neighbours across a gap, beside what the run says of them."""
    alignment = json.loads((run / "tables/alignment.json").read_text())
    sigma = {(gap["fixed_id"], gap["moving_id"]): gap["sigma_px"] for gap in alignment["gaps"]}
    apart = [pair for pair in (found.slices.pairs if found.slices else ()) if pair.is_gap]
    known = [(pair, sigma.get((pair.fixed_id, pair.moving_id))) for pair in apart]
    steps = [(value, s) for pair, s in known if s for value in pair.shift_yx_px]
    if not steps:
        return {}
    return {
        "gap rms px": math.sqrt(math.fsum(value**2 for value, _ in steps) / len(steps)),
        "gap error / sigma": math.sqrt(math.fsum((v / s) ** 2 for v, s in steps) / len(steps)),
    }


def measured(name: str, seed: int, planes: Path | None, folder: Path) -> dict[str, float]:
    """Simulate one seed of a set, run it and compare."""
    kind, changes, _ = SETS[name]
    if name == "brain":
        if planes is None:
            sys.exit("the set 'brain' needs --planes, the folder of vol_mouse_brain_planes")
        changes = {**changes, "volume": planes}
    made = simulate(folder / "sim", settings=preset(kind, **{**changes, "seed": seed}))  # type: ignore[arg-type]
    start = time.perf_counter()
    run = run_pipeline(made.raw, folder / "run", Parameters.read(made.params, {}), 1).root
    seconds = time.perf_counter() - start
    return numbers(run, evaluate(run, made.truth)) | {"seconds": seconds}


def pooled(rows: list[dict[str, float]], name: str, asked: Asked) -> float:
    """Give the worst of all seeds; of what is judged over all gaps or pairs, the rms."""
    values = np.array([row[name] for row in rows if name in row])
    if not len(values):
        return math.nan
    if name.startswith(("gap", "pairs")):
        return float(np.sqrt((values**2).mean()))
    return float(values.max() if math.isinf(asked.low) else values.min())


def main(
    name: str = "",
    *,
    seeds: str = "601-601",
    planes: Path | None = None,
    folder: Path | None = None,
) -> None:
    """Print the numbers of each seed, and the worst beside what is asked for.

    Parameters
    ----------
    name : str
        The set; without one all are listed.
    seeds : str
        First and last seed.
    planes : Path
        Folder of the brain's planes, for the set 'brain'.
    folder : Path
        Keeps data and results; nothing is kept without.
    """
    if name not in SETS:
        sys.exit(f"sets: {', '.join(SETS)}")
    limit_threads(1)
    first, last = (int(part) for part in seeds.split("-"))
    rows = []
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory() as scratch:
            here = (folder or Path(scratch)) / f"{name}-{seed}"
            rows.append(measured(name, seed, planes, here))
        print(f"{name} {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()))
    for what, asked in SETS[name][2].items():
        value = pooled(rows, what, asked)
        verdict = "met" if asked.met(value) else "not measured" if math.isnan(value) else "MISSED"
        print(f"{what:<20} {value:8.4f}  asked {asked!s:<12} {verdict}")


if __name__ == "__main__":
    cyclopts.run(main)
