"""The parameters that are no option of a stage, and what a preset settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from mosaicflow.io.tables import SCHEMA
from mosaicflow.limits import FROM_0, Folder, Limit
from mosaicflow.simulation.settings import PresetName

__all__ = ["ENGINE_PARAMETERS", "PRESETS", "RUN_PARAMETERS", "UNTOLD", "EngineParameter"]


@dataclass(frozen=True, slots=True)
class EngineParameter:
    """A parameter that decides which stages run, rather than how one works.

    Parameters
    ----------
    default : object
        Value without a setting.
    type : type
        Type of the value.
    help : str
        One sentence for the documentation.
    """

    default: Any
    type: Any
    help: str


# A file name on every system and in every shell, which no other output could have.
_NAME = Limit(
    pattern=r"^(?!mosaic_grid_|slice_z)([A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
    words="a name of letters, digits, '_', '-' and '.', not the name of another output",
)

ENGINE_PARAMETERS: dict[str, EngineParameter] = {
    "fix_illum_enabled": EngineParameter(
        True, bool, "Estimate the flat field of all tiles and divide by it."
    ),
    "fix_curvature_enabled": EngineParameter(
        "auto",
        Literal["auto", "never"],
        "Make the field's curvature flat in every tile, where overlaps show it beyond doubt.",
    ),
    "compensate_psf_enabled": EngineParameter(
        True, bool, "Remove the axial profile of the beam, learnt from the gel."
    ),
    "detect_rehoming": EngineParameter(
        True, bool, "Find jumps of the stage between slices and correct single wrong positions."
    ),
    "graph_span": EngineParameter(
        3,
        Annotated[int, FROM_0],
        "Register each slice with this many following ones; 0 uses the stage alone.",
    ),
    "positions_channel": EngineParameter(
        0,
        Annotated[int, FROM_0],
        "Channel of image tiles that is measured, counted from 0; all others become volumes by the "
        "same positions and transforms.",
    ),
    "positions_from": EngineParameter(
        None,
        Folder,
        "Output folder of another run on the same tiles: places of tiles and slices, block faces "
        "and the field's curvature are taken from it, and none is measured; for channels that are "
        "recorded in folders of their own.",
    ),
    "channel_kind": EngineParameter(
        (),
        tuple[Literal["intensity", "angle"], ...],
        "What the other channels hold: brightness, or angles in degrees of period 180; one word "
        "for all, or one per channel in their order; intensity without a word.",
    ),
    "subject_name": EngineParameter(
        "", Annotated[str, _NAME], "Name of the specimen and so of the volume; empty: 3d_volume."
    ),
    "on_end": EngineParameter(
        "",
        str,
        "Command for the shell when the run has ended, well or not; it finds MOSAICFLOW_STATUS (ok,"
        " warning, error or failed), MOSAICFLOW_OUTPUT and MOSAICFLOW_REPORT in its environment.",
    ),
    "keep": EngineParameter(
        "all",
        Literal["all", "qc", "final"],
        "What stays in the output folder: everything; what shows how good it is (previews, "
        "finished slices, transforms, and the following); volume, tables, metrics and report.",
    ),
}

# What a preset settles beyond the stage that has it, whatever else is said.
PRESETS: dict[str, dict[str, Any]] = {
    "minimal": {
        "graph_span": 0,
        "use_expected_z_overlap": True,
        "normalize_enabled": False,
        "stack_overlap_z_gain": False,
    }
}

# It decides nothing, and may hold the address of a chat: no record has it.
UNTOLD = frozenset({"on_end"})

RUN_PARAMETERS: dict[str, EngineParameter] = {
    "input": EngineParameter(
        None,
        str | None,
        "Folder of the raw acquisition, or a tile table (CSV) in it; also the address of one in a "
        "bucket (s3:// or gs://), where OCT folders, TIFF and pictures are read.",
    ),
    "simulate": EngineParameter(
        "",
        Literal["", *get_args(PresetName)],
        "Acquisition that Nextflow makes up where no input is given, for trying things out.",
    ),
    "schema": EngineParameter(
        SCHEMA,
        Annotated[int, Limit(least=SCHEMA, most=SCHEMA, words=f"{SCHEMA}: no other form is known")],
        "Version of the form of a params.yml; without it that of 0.1.0.",
    ),
    "output": EngineParameter("results", str, "Folder for all results."),
    "publish_mode": EngineParameter(
        "auto",
        Literal["auto", "copy", "link", "rellink", "symlink"],
        "How Nextflow puts grids, slices and the volume into the output folder: auto makes hard "
        "links where the work folder is on the same disk, and copies elsewhere; the rest is always "
        "copied.",
    ),
    "container": EngineParameter(
        "mosaicflow:0.1.0",
        str,
        "Image that Nextflow runs every task in, with a container profile; a name, an address or "
        "file:///path/mosaicflow.sif.",
    ),
    "granularity": EngineParameter(
        "stage",
        Literal["stage", "slice"],
        "What Nextflow makes a task: each stage of a slice (stage), or all stages of a slice "
        "between two waits of the run (slice), where tasks wait long in a queue.",
    ),
    "help": EngineParameter(False, bool, "Nextflow lists all parameters and ends."),
    "version": EngineParameter(False, bool, "Nextflow tells the version of mosaicflow and ends."),
}
"""Where a run is and how Nextflow goes about it: nothing that changes a result."""
