"""Write a raw acquisition, tile by tile, with its truth beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaicflow.errors import InputError
from mosaicflow.simulation.native import tile_folder, write_tile, write_tree_metadata
from mosaicflow.simulation.plan import AcquisitionPlan, make_plan
from mosaicflow.simulation.render import render_tile
from mosaicflow.simulation.specimen import ProceduralSpecimen
from mosaicflow.simulation.truth import write_params, write_truth
from mosaicflow.threads import map_threads

if TYPE_CHECKING:
    from mosaicflow.simulation.plan import CutSlice, TilePlan
    from mosaicflow.simulation.settings import SimulationSettings
    from mosaicflow.simulation.specimen import Tissue

__all__ = ["Simulation", "simulate"]

logger = logging.getLogger(__name__)

_FAULT = 21  # stream of random numbers


@dataclass(frozen=True, slots=True)
class Simulation:
    """A written acquisition.

    Parameters
    ----------
    raw : Path
        Folder of the raw tiles, the input of a run.
    truth : Path
        Folder with truth.json, flatfield.npy, light.npz and truth.ome.zarr.
    params : Path
        Parameters file for either engine.
    plan : AcquisitionPlan
        Where everything is.
    n_tiles : int
        Tiles written.
    n_bytes : int
        Bytes of image data written.
    """

    raw: Path
    truth: Path
    params: Path
    plan: AcquisitionPlan
    n_tiles: int
    n_bytes: int


def simulate(output: Path, *, settings: SimulationSettings, threads: int = 1) -> Simulation:
    """Write a raw acquisition with known truth.

    The same settings give the same bytes, whatever `threads`. Memory holds a few tiles at a time.

    Parameters
    ----------
    output : Path
        Folder to make; it gets ``raw/`` (the instrument's layout), ``truth/`` and ``params.yml``.
        It must not exist or be empty.
    settings : SimulationSettings
        What to simulate; ``preset(name, **changes)`` makes one.
    threads : int
        Tiles written side by side.

    Returns
    -------
    Simulation
        Where things were written, and what was drawn.

    Raises
    ------
    InputError
        If `output` holds something, or the given volume cannot be read.
    ParameterError
        If a setting makes no sense.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} is not empty", remedy="name a new folder for the simulation")
    settings, tissue = _specimen(settings)
    plan = make_plan(settings)
    raw, truth = output / "raw", output / "truth"
    raw.mkdir(parents=True)
    work = [(p, t) for p in plan.slices if p.fault != "missing" for t in p.tiles]
    work = [(piece, tile) for piece, tile in work if tile.fault != "missing"]
    logger.info("writing %d tiles to %s", len(work), raw)

    def write(item: tuple[CutSlice, TilePlan]) -> int:
        piece, tile = item
        image = render_tile(plan, piece, tile, tissue)
        rng = np.random.default_rng([settings.seed, _FAULT, tile.slice_id, tile.iy, tile.ix])
        return write_tile(tile_folder(raw, settings.lattice, tile), image, settings, tile, rng)

    sizes = map_threads(write, work, threads)
    write_tree_metadata(raw, plan)
    write_truth(truth, plan, tissue, threads=threads)
    params = output / "params.yml"
    write_params(params, raw, plan)
    return Simulation(raw, truth, params, plan, n_tiles=len(work), n_bytes=sum(sizes))


def _specimen(settings: SimulationSettings) -> tuple[SimulationSettings, Tissue]:
    """Open or build the specimen; a given volume decides a lattice that was left open."""
    from mosaicflow.simulation.volume import covering_lattice, open_specimen

    options = settings.specimen
    if options.volume is not None:
        volume = open_specimen(options)
        return replace(settings, lattice=covering_lattice(settings.lattice, volume)), volume
    um = settings.lattice.resolution_um
    plan_size = make_plan(settings).half_size_um
    return settings, ProceduralSpecimen((um, um, um), plan_size, options, settings.seed)
