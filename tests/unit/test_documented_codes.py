"""Every code of a problem has a line in the documentation, and every documented one exists."""

import re
from pathlib import Path

import pytest

from mosaicflow.reasons import Concern, Doubt, Reason

ROOT = Path(__file__).parents[2]
PAGES = ("docs/stages/inspect_acquisition.md", "docs/stages/create_mosaic_grid.md")
CALLS = r'(?:\.(?:stop|skip|fail|repair|keep)\(\s*log,|log\.add\(|Problem\()\s*"([a-z0-9_]+)"'


def codes():
    folder = ROOT / "src/mosaicflow/acquisition"
    return {code for path in folder.rglob("*.py") for code in re.findall(CALLS, path.read_text())}


def test_every_code_of_a_problem_is_documented():
    text = "".join((ROOT / page).read_text() for page in PAGES)
    assert len(codes()) > 40
    assert sorted(code for code in codes() if f"`{code}`" not in text) == []


def test_reasons_of_the_ledger_are_documented_as_the_report_has_them():
    from mosaicflow.report.records import _WORDS

    text = (ROOT / "docs/tables.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (excluded \w+ ?\w*|missing) \|$", text, re.M))
    assert set(_WORDS) <= set(rows)
    automatic = {reason for reason in Reason if reason.is_automatic}
    assert {one for one, kind in rows.items() if kind == "excluded automatically"} == automatic


@pytest.mark.parametrize(
    ("title", "codes"),
    [("Pairs that do not count", Doubt), ("Reasons of warnings and errors", Concern)],
)
def test_each_code_of_a_pair_or_warning_is_documented(title, codes):
    _, _, text = (ROOT / "docs/tables.md").read_text().partition(f"## {title}")
    table = text.partition("\n## ")[0]
    first_cells = "".join(re.findall(r"^\| (`.*?) \|", table, re.M))
    assert set(re.findall(r"`(\w+)`", first_cells)) == set(codes)
