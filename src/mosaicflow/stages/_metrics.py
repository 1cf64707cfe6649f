"""Numbers that several stages record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaicflow.measures import Measure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.report import StageReport

__all__ = ["TISSUE", "report_coverage"]

# By judgement: a slice with less than a twentieth of tissue is one to look at.
TISSUE = Measure("tissue_coverage", "canvas with tissue", warning=0.05, error=0.01, good="high")


def report_coverage(report: StageReport, image: NDArray[np.float32]) -> None:
    """Record how much of a slice's canvas is tissue, seen from above.

    Parameters
    ----------
    report : StageReport
        Of the stage.
    image : ndarray, shape (y, x), float32
        Mean over depth.
    """
    from mosaicflow.slices.masks import tissue_fraction

    report.metric("tissue_coverage", tissue_fraction(image))
