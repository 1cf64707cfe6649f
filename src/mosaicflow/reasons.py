"""Why a slice gives no image, as tables say it; sentences are made where people read."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reason", "Skip"]


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
