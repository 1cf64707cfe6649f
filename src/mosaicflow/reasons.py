"""Why a slice or a pair does not count, by codes; sentences are made where people read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Concern", "Doubt", "Reason", "Refusal", "Skip", "decided_by_images"]


class Reason(StrEnum):
    """A code in ``exclude_reason`` of ``slice_config.csv`` and in ``alignment.json``."""

    CALIBRATION = "calibration_slice"
    """Its face is far deeper than the others'."""
    FIRST = "first_slice_excluded"
    """``exclude_first_slices`` asks for it."""
    NO_TILES = "missing_tiles"
    """No usable tile was found."""
    EARLIER = "previously_excluded"
    """A table of people says so and gives no reason."""
    BY_HAND = "manually_excluded"
    """A row of ``overrides.csv`` leaves it out."""
    LONE = "matches_no_neighbour"
    """No link holds it."""
    WEAK_RUN = "consecutive_low_z_corr"
    """It belongs to a run of slices that match nothing."""

    @property
    def is_automatic(self) -> bool:
        """Whether the images decided it, and not a person."""
        return self in (Reason.CALIBRATION, Reason.LONE, Reason.WEAK_RUN)


def decided_by_images(told: str) -> bool:
    """Whether one of the reasons that a slice is left out for, as told, is not a person's."""
    automatic = (reason for reason in Reason if reason.is_automatic)
    return not frozenset(automatic).isdisjoint(told.split("; "))


class Skip(StrEnum):
    """A code in ``skip_reason`` of the decisions: why a slice lies where the stage has it."""

    SWITCHED_OFF = "switched_off"
    """Its motion was found, and is left out on purpose."""
    STATUS_ERROR = "status_error"
    """Registration with a neighbour failed."""
    ROTATION_ONLY = "rotation_only"
    """It is turned as found; only its place is the stage's, as asked for."""
    STAGE_BETTER = "stage_better"
    """The stage predicts its links better than they do themselves."""
    MISSING = "missing"
    """No link holds it."""


class Doubt(StrEnum):
    """A code that says why a pair of slices does not count, in transform files and alignment."""

    NARROW = "too_narrow"
    """Registration: the images hold too few blocks."""
    FEW_PIXELS = "too_few_pixels"
    """Registration: too few pixels hold data in both slices."""
    AT_LIMIT = "ran_to_a_limit"
    """Registration: a shift or rotation as large as was allowed."""
    WORSE = "correlation_fell"
    """Registration: the images match less well than before."""
    HELD_OUT_WORSE = "held_out_worse"
    """Registration: parts that were not used match less well than by the stage."""
    NO_TISSUE = "no_tissue"
    """Registration: one of the slices, or both, show gel only."""
    NOWHERE = "matches_nowhere"
    """Registration: different tissue matches best where no stage would put it, or nowhere."""
    UNTOLD = "untold"
    """Registration: a file of people, or of an older version, says so without a code."""
    STAGE_ALONE = "stage_alone"
    """The preset asks for the stage alone."""
    UNPROVEN = "unproven"
    """It does not beat the stage by as much as the preset asks for."""
    TURNED = "turned_too_far"
    """Its rotation is larger than allowed."""
    UNLIKE = "correlation_too_low"
    """Its correlation is lower than allowed."""
    DETOUR = "across_unseen_tissue"
    """Slices that shared tissue joins are compared across tissue that neither shows."""
    FARTHER = "nearer_pair"
    """A nearer pair joins the same slices."""
    LESS_CERTAIN = "less_certain"
    """It knows neither shift nor rotation as well as the stage."""
    FAR_OFF = "beyond_the_stage"
    """Different tissue looks alike where no stage would put a slice."""
    FAR_TURNED = "turned_beyond_the_stage"
    """Different tissue looks alike turned as no slice lies."""

    @property
    def is_of_registration(self) -> bool:
        """Whether registration itself gave up."""
        return self in _OF_REGISTRATION


class Concern(StrEnum):
    """A code of what a stage warns of, beside the sentence in its metrics file."""

    NO_NUMBER = "no_number"
    """A number came out as none."""
    UNREPORTED_TILES = "unreported_tiles"
    """Tiles without a reported position."""
    NO_CONTRAST = "no_contrast"
    """No tile shows anything that a flat field can be measured in."""
    REPEATED_TILES = "repeated_tiles"
    """Tiles that show the picture of another tile."""
    NO_SHADING = "no_shading"
    """No shading beyond its own error."""
    LOOSE_TILES = "loose_tiles"
    """Tiles that no measured overlap joins with the others."""
    OFF_PITCH = "off_pitch"
    """Steps between tiles are not as long as reported."""
    OTHER_TILES = "other_tiles"
    """A table is about tiles of another size."""
    NOT_TAKEN = "not_taken"
    """The other run has placed no tile of a slice."""
    THIN = "thin"
    """Too few planes for what the stage does."""
    NO_BEAM_PROFILE = "no_beam_profile"
    """The profile of the beam could not be measured, or makes nothing better."""
    NO_WATER = "no_water"
    """No water above the tissue: the block face is not known."""
    SHALLOW = "shallow"
    """Less was imaged below the face than is asked for."""
    STEPS = "steps"
    """The table of the stage's steps is not whole."""
    LEDGER = "ledger"
    """The ledger of slices and what was found do not agree."""
    IDLE_OVERRIDE = "idle_override"
    """A row of corrections that does nothing."""
    GEL_ONLY = "gel_only"
    """A pair of which one slice shows no tissue."""
    NOT_REGISTERED = "not_registered"
    """A pair that registration gave up."""
    PAIR_FAILED = "pair_failed"
    """A pair that could not be compared at all."""
    TURNED_STAGE = "turned_stage"
    """The stage runs in different directions on different slices."""
    UNLIKE_KEPT = "unlike_kept"
    """Slices that match nothing, and are too many to leave out."""
    UNLIKE_LEFT_OUT = "unlike_left_out"
    """Slices inside the stack that match nothing."""
    LEFT_OUT = "left_out"
    """A slice that is not in the volume."""
    UNSEEN_GAP = "unseen_gap"
    """Slices that no pair with common tissue joins."""
    NO_COMMON_TISSUE = "no_common_tissue"
    """Brightness along z cannot be told from the specimen's own."""
    EMPTY_PLANES = "empty_planes"
    """A placed slice without image in this channel or run."""
    COARSE = "coarse"
    """The volume is coarser than its slices."""
    PYRAMID = "pyramid"
    """A level of the pyramid is not as asked for."""
    ROUNDED = "rounded"
    """Whole numbers too large for float32."""
    NO_SURFACE = "no_surface"
    """Without tissue there is no surface to write."""
    NOT_WRITTEN = "not_written"
    """A file or row that a format cannot hold."""


# Doubts that a pair itself tells: those up to the one without words.
_OF_REGISTRATION = frozenset(list(Doubt)[: list(Doubt).index(Doubt.UNTOLD) + 1])
_SENTENCES = {
    Doubt.NARROW: "the images are too narrow to compare",
    Doubt.FEW_PIXELS: "too few pixels with data in both slices",
    Doubt.AT_LIMIT: "ran to a limit ({:.1f} px, {:.2f} deg)",
    Doubt.WORSE: "correlation fell from {:.3f} to {:.3f}",
    Doubt.HELD_OUT_WORSE: "held-out parts match less well than by the stage ({:.3f} < {:.3f})",
    Doubt.NO_TISSUE: "no tissue in {}",
    Doubt.NOWHERE: "different tissue matches best beyond {:.0f} px, or nowhere",
    Doubt.UNTOLD: "{}",
    Doubt.STAGE_ALONE: "the preset takes the stage alone",
    Doubt.UNPROVEN: "its advantage over the stage on held-out parts is {}, below {:.0f}",
    Doubt.TURNED: "rotation {:.2f} deg too large",
    Doubt.UNLIKE: "correlation {:.2f} too low",
    Doubt.DETOUR: "slices that shared tissue joins are not compared across unseen tissue",
    Doubt.FARTHER: "a nearer pair joins the same slices",
    Doubt.LESS_CERTAIN: "less certain than the stage",
    Doubt.FAR_OFF: "different tissue matches {:.1f} px off, beyond {:.0f} sigma",
    Doubt.FAR_TURNED: "different tissue matches turned by {:.1f} deg, beyond {:.0f} sigma",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a pair does not count.

    Parameters
    ----------
    code : Doubt
        Why.
    sentence : str
        The same for people, with what was found.
    """

    code: Doubt
    sentence: str

    @classmethod
    def of(cls, code: Doubt, *found: float | str) -> Refusal:
        """Say it with the numbers or words that were found."""
        return cls(code, _SENTENCES[code].format(*found))
