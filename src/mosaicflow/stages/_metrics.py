"""Metrics that several stages record, with the thresholds that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicflow.io.report import StageReport

__all__ = ["report_coverage"]


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

    # By judgement: a slice with less than a twentieth of tissue is one to look at.
    report.metric(
        "tissue_coverage", tissue_fraction(image), "", "canvas with tissue",
        warning=0.05, error=0.01, good="high",
    )  # fmt: skip
