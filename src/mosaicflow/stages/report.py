"""Stage `report`: one page that says how far to trust the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mosaicflow import names
from mosaicflow.stages._contract import stage

if TYPE_CHECKING:
    from mosaicflow.io.report import StageReport

__all__ = ["report"]


@stage(
    "run",
    label="table",
    title="Report and verdict",
    icon="clipboard-check",
    with_inputs=False,
    makes=(names.PAGE, names.GUIDE, names.RECORD, names.CRATE),
)
def report(
    _report: StageReport,
    *,
    files: tuple[Path, ...],
    facts: Path,
    output_dir: Path,
    fail_on: Literal["warning", "error", "never"] = "error",
    threads: int = 1,
) -> None:
    """Say what can be measured in the volume, and where not, from what all stages wrote.

    Parameters
    ----------
    files : tuple[Path, ...]
        Metrics, tables, transforms, records and previews of the whole run.
    facts : Path
        What only the engine knows (run_facts.json).
    output_dir : Path
        Folder for report.html, run.json, README.txt and ro-crate-metadata.json.
    fail_on : str
        Verdict from which the run counts as failed, once everything is written: a warning, an
        error (the volume as a whole cannot be trusted), or never.
    threads : int
        Not used: the page is made in seconds.
    """
    from mosaicflow.errors import MosaicflowError
    from mosaicflow.io.tables import write_document, write_json, write_text
    from mosaicflow.report.about import guide, read_facts, run_record
    from mosaicflow.report.closing import closing_lines
    from mosaicflow.report.contents import gather
    from mosaicflow.report.counts import check_counts
    from mosaicflow.report.crate import crate
    from mosaicflow.report.page import render
    from mosaicflow.report.records import RunFiles

    found, told = RunFiles(files), read_facts(facts)
    if lost := check_counts(found):
        raise MosaicflowError(
            f"slices {lost} went in and neither came out nor left a record",
            remedy="this is a bug in mosaicflow: please report it with the metrics folder",
        )
    contents = gather(found, told)
    record = run_record(found, told, contents.counts, contents.lost, contents.verdict)
    record["verdict"] |= {"fail_on": fail_on, "failed": contents.verdict.reaches(fail_on)}
    record["closing"] = closing_lines(contents)
    write_text(output_dir / names.PAGE.of(), render(contents))
    write_text(output_dir / "README.txt", guide(told))
    write_document(output_dir / names.RECORD.of(), record)
    write_json(output_dir / names.CRATE.of(), crate(record))
