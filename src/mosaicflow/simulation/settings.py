"""What a simulated acquisition looks like: groups of settings, and the presets built from them.

Each effect has one strength; 0 (or an empty list) switches it off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path  # noqa: TC003  # the command line reads these types
from typing import Any, Literal

from mosaicflow.errors import ParameterError
from mosaicflow.simulation.light_settings import Light

__all__ = [
    "Faults",
    "Lattice",
    "Light",
    "Optics",
    "PresetName",
    "Sections",
    "SimulationSettings",
    "Specimen",
    "StageMotion",
]

PresetName = Literal["toy", "demo", "benchmark", "hard", "deep", "native", "ideal"]
Layout = Literal["flat", "per_slice", "acquisition"]
BadKind = Literal[
    "noise", "blank", "saturated", "dark", "noisy", "blurred", "half_empty", "frozen",
    "duplicated", "shifted",
]  # fmt: skip
JumpKind = Literal["step", "spike"]
StageError = Literal["jitter", "walk", "jumps"]
TissueKind = Literal["block", "periodic", "cores"]


@dataclass(frozen=True, slots=True)
class Lattice:
    """Tiles, slices and the files that hold them.

    Parameters
    ----------
    n_slices : int
        Slices to cut; 0 = as many as the given volume is deep.
    grid : tuple of int
        Tiles along y and x in each slice; 0 0 = as many as cover the given volume.
    tile_shape : tuple of int
        Samples of a tile along z, y and x.
    pitch_um : tuple of float
        Sample spacing along z, y and x in um.
    overlap_fraction : float
        Part of a tile's length that the next tile repeats.
    slicing_interval_mm : float
        Thickness of a section; a smaller one than the imaged depth makes slices share tissue.
    water_um : float
        Depth of water above the block face.
    resolution_um : float
        Working spacing: that of the truth volume, and `resolution_um` in params.yml.
    n_extra : int
        A-lines recorded while the galvo flies back.
    n_repeat : int
        Times each B-scan is recorded, every time with speckle of its own.
    layout : {"flat", "per_slice", "acquisition"}
        Folder layout of the raw data.
    preprocess : bool
        True: the fast axis runs against array y and the slow axis against array x (the
        instrument's default); False: fast is x, slow is y.
    first_index : tuple of int
        Lattice index (y, x) of the first tile, as written in the folder names.
    first_slice : int
        Id of the first slice.
    files_per_tile : int
        Number of image files that one tile is split into.
    """

    n_slices: int = 5
    grid: tuple[int, int] = (3, 3)
    tile_shape: tuple[int, int, int] = (120, 120, 120)
    pitch_um: tuple[float, float, float] = (3.5, 10.0, 10.0)
    overlap_fraction: float = 0.2
    slicing_interval_mm: float = 0.2
    water_um: float = 80.0
    resolution_um: float = 10.0
    n_extra: int = 20
    n_repeat: int = 1
    layout: Layout = "per_slice"
    preprocess: bool = True
    first_index: tuple[int, int] = (0, 0)
    first_slice: int = 0
    files_per_tile: int = 2


@dataclass(frozen=True, slots=True)
class Specimen:
    """What is imaged.

    Parameters
    ----------
    volume : Path, optional
        A volume to image in place of the procedural tissue: a folder of TIFF planes, a TIFF
        stack, a .npy file or an OME-Zarr store; axes z, y, x.
    volume_spacing_um : tuple of float
        Its voxel spacing along z, y and x in um; 0 0 0 = as the OME-Zarr store says.
    volume_white : float
        The value of the volume that counts as reflectivity 1; 0 = its 99.9th percentile.
    agarose : float
        Reflectivity of the gel around the tissue (tissue: about 1).
    tissue : {"block", "periodic", "cores"}
        What the procedural tissue is like: one rounded block; the same with a grain that repeats
        itself every 14 voxels; round cores 68 voxels wide in gel, 90 voxels apart.
    texture_contrast : float
        Strength of the cells and of the coarser structure of the procedural tissue.
    vessel_contrast : float
        Part of the reflectivity that is missing inside a vessel.
    tissue_fill : float
        Size of the procedural tissue relative to the mosaic.
    depth_contrast : float
        Natural logarithm of the factor by which the brightness of the procedural tissue swings
        along depth, core and rim each in its own rhythm.
    gain : float
        Stored value of reflectivity 1.
    """

    volume: Path | None = None
    volume_spacing_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    volume_white: float = 0.0
    agarose: float = 0.15
    tissue: TissueKind = "block"
    texture_contrast: float = 1.0
    vessel_contrast: float = 0.75
    tissue_fill: float = 0.9
    depth_contrast: float = 0.0
    gain: float = 1000.0


@dataclass(frozen=True, slots=True)
class StageMotion:
    """Where tiles and slices really are, and what the stage says about it.

    Parameters
    ----------
    jitter_px : float
        Root mean square per axis, in native px, by which tiles miss their reported positions.
    stage_error : {"jitter", "walk", "jumps"}
        How they miss them, rows run to and fro. jitter: each tile by itself; walk: errors of steps
        add up; jumps: a tile in six starts a run that is off alike; those before the first are not.
    lattice_rotation_deg : float
        Angle of the camera against the stage.
    lattice_scale : float
        True length of a stage step divided by the reported one.
    lattice_shear : float
        Departure of the two stage axes from a right angle, as a tangent.
    stage_sign : tuple of int
        1 or -1 along y and x: the direction in which the stage runs along the tile index.
    drift_um : float
        Standard deviation per slice and axis of the region's move, which the stage reports.
    residual_shift_um : float
        Standard deviation per axis of each slice's shift that nothing reports.
    residual_rotation_deg : float
        Standard deviation of each slice's rotation that nothing reports.
    rehoming_slices : tuple of int
        Slices before which the stage loses its zero: reported positions jump, the tissue stays.
    rehoming_mm : float
        Size of that jump along x.
    rehoming_kind : {"step", "spike"}
        step: the jump stays; spike: the next slice is back.
    report_positions : bool
        False leaves the stage positions out of info.txt.
    """

    jitter_px: float = 2.0
    stage_error: StageError = "jitter"
    lattice_rotation_deg: float = 0.5
    lattice_scale: float = 1.0
    lattice_shear: float = 0.0
    stage_sign: tuple[int, int] = (1, 1)
    drift_um: float = 60.0
    residual_shift_um: float = 12.0
    residual_rotation_deg: float = 0.25
    rehoming_slices: tuple[int, ...] = ()
    rehoming_mm: float = 0.9
    rehoming_kind: JumpKind = "step"
    report_positions: bool = True


@dataclass(frozen=True, slots=True)
class Optics:
    """How the instrument changes what it sees.

    Parameters
    ----------
    shading : float
        Fall of the flat field from its brightest to its darkest place, roughly, as a fraction.
    speckle_contrast : float
        Standard deviation of the multiplicative gamma speckle over its mean; 1 = fully developed.
    noise : float
        Signal of the dark camera, as a reflectivity.
    attenuation_per_mm : float
        Loss with depth: the signal falls as exp(-2 a z).
    shadow_per_mm : float
        Loss through tissue of reflectivity 1 on top of that: what is bright throws a shadow.
    focus_um : float
        Depth of the focus below the block face.
    rayleigh_um : float
        Rayleigh length of the confocal profile; 0 = no profile.
    field_curvature_um : float
        Depth by which a flat face appears lower in a tile's corner than in its middle.
    marker : bool
        Saturate the first A-line of a tile, as some cameras do.
    camera_shift_px : int
        A-lines by which the camera's buffer turns each B-scan round.
    galvo_slices : tuple of int
        Slices in which the galvo's return lies inside the B-scan.
    galvo_band_start : float
        Where the return band then begins, as a fraction of the B-scan.
    """

    shading: float = 0.3
    speckle_contrast: float = 0.2
    noise: float = 0.02
    attenuation_per_mm: float = 1.0
    shadow_per_mm: float = 0.0
    focus_um: float = 150.0
    rayleigh_um: float = 600.0
    field_curvature_um: float = 0.0
    marker: bool = False
    camera_shift_px: int = 0
    galvo_slices: tuple[int, ...] = ()
    galvo_band_start: float = 0.6


@dataclass(frozen=True, slots=True)
class Sections:
    """The shape of the cut faces.

    Parameters
    ----------
    tilt_um : tuple of float
        Rise of the knife's plane across the mosaic along y and x; the same for all slices, as
        the knife is mounted once.
    tilt_spread_um : float
        Standard deviation of each slice's own tilt across the mosaic.
    waviness_um : float
        Amplitude of the waves that the knife leaves.
    thickness_sigma_um : float
        Standard deviation of a section's thickness about the interval, which nothing reports.
    """

    tilt_um: tuple[float, float] = (12.0, -8.0)
    tilt_spread_um: float = 2.0
    waviness_um: float = 2.0
    thickness_sigma_um: float = 0.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What went wrong. A tile is named slice/y/x by its lattice indices as written, e.g. 2/0/1.

    Parameters
    ----------
    missing_slices : tuple of int
        Slices that are not there.
    bad_slices : tuple of int
        Slices whose image is spoiled.
    bad_kind : str
        How. Without an image: noise, blank, saturated, frozen (every tile shows the first one's
        image), duplicated (the image of the slice above). With one: dark (a tenth of the light),
        noisy (the camera's signal x 25), blurred (by a Gaussian of 5 px), half_empty (every second
        tile is 0), shifted (lies `bad_shift_um` beside where the stage says).
    bad_shift_um : float
        Length of the shift of a `shifted` slice, along y.
    missing_tiles : tuple of str
        Tiles that are not there.
    truncated_tiles : tuple of str
        Tiles whose last file ends early.
    truncated_fraction : float
        Part of their B-scans that is there.
    nan_tiles : tuple of str
        Tiles with NaN samples.
    nan_fraction : float
        Part of their samples that is NaN.
    """

    missing_slices: tuple[int, ...] = ()
    bad_slices: tuple[int, ...] = ()
    bad_kind: BadKind = "noise"
    bad_shift_um: float = 400.0
    missing_tiles: tuple[str, ...] = ()
    truncated_tiles: tuple[str, ...] = ()
    truncated_fraction: float = 0.95
    nan_tiles: tuple[str, ...] = ()
    nan_fraction: float = 0.005


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Everything that decides the bytes of a simulated acquisition.

    Parameters
    ----------
    lattice, specimen, stage, optics, light, sections, faults : dataclass
        The groups.
    seed : int
        One seed, one acquisition.
    truth_volume : bool
        Write the noise-free volume too.
    """

    lattice: Lattice = field(default_factory=Lattice)
    specimen: Specimen = field(default_factory=Specimen)
    stage: StageMotion = field(default_factory=StageMotion)
    optics: Optics = field(default_factory=Optics)
    light: Light = field(default_factory=Light)
    sections: Sections = field(default_factory=Sections)
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    truth_volume: bool = True

    def __post_init__(self) -> None:
        _check(self)

    def changed(self, **changes: object) -> SimulationSettings:
        """Return a copy with some settings replaced, named without their group.

        Raises
        ------
        ParameterError
            For a name that is no setting.
        """
        own: dict[str, Any] = {}
        for group in (*GROUPS, ""):
            value = getattr(self, group) if group else self
            known = {item.name for item in fields(value)} - set(GROUPS)
            picked = {name: changes.pop(name) for name in list(changes) if name in known}
            own.update({group: replace(value, **picked)} if group else picked)
        if changes:
            raise ParameterError(f"no setting of the simulator is named {', '.join(changes)}")
        return replace(self, **own)


GROUPS = ("lattice", "specimen", "stage", "optics", "light", "sections", "faults")


"""What each preset changes in the default settings."""


def _check(settings: SimulationSettings) -> None:
    lattice = settings.lattice
    automatic = settings.specimen.volume is not None
    wrong = {
        "n_slices": lattice.n_slices < (0 if automatic else 1),
        "grid": min(lattice.grid) < (0 if automatic else 1),
        "tile_shape": min(lattice.tile_shape) < 8,
        "pitch_um": min(lattice.pitch_um) <= 0,
        "resolution_um": lattice.resolution_um <= 0,
        "overlap_fraction": not 0 <= lattice.overlap_fraction < 0.9,
        "slicing_interval_mm": lattice.slicing_interval_mm <= 0,
        "water_um": not 0 <= lattice.water_um < 0.5 * lattice.tile_shape[0] * lattice.pitch_um[0],
        "files_per_tile": lattice.files_per_tile < 1,
        "n_extra": lattice.n_extra < 0,
        "n_repeat": lattice.n_repeat < 1,
        "stage_sign": any(sign not in (-1, 1) for sign in settings.stage.stage_sign),
        "lattice_scale": settings.stage.lattice_scale <= 0,
        "speckle_contrast": settings.optics.speckle_contrast < 0,
        "thickness_sigma_um": not 0
        <= 2 * settings.sections.thickness_sigma_um
        < 1000 * lattice.slicing_interval_mm,
        "shading": not 0 <= settings.optics.shading < 0.8,
        "rough": not 0 <= settings.light.rough < 0.5,
        "rough_scale": settings.light.rough_scale <= 0,
        "bleaching": not 0 <= settings.light.bleaching < 1,
        "dust": settings.light.dust < 0,
        "truncated_fraction": not 0 <= settings.faults.truncated_fraction <= 1,
        "nan_fraction": not 0 <= settings.faults.nan_fraction <= 1,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            value = next(
                getattr(getattr(settings, group), name)
                for group in GROUPS
                if hasattr(getattr(settings, group), name)
            )
            raise ParameterError(f"{name} {value} is out of range")
