"""Every number that a stage records is declared in its contract, and none is declared in vain."""

import ast
import re
from pathlib import Path

import pytest

import mosaicflow
from mosaicflow.measures import Measure, each
from mosaicflow.stages._table import STAGES

SOURCE = Path(mosaicflow.__file__).parent
DECLARED = {one.name for stage in STAGES.values() for one in stage.contract.metrics}


def _calls() -> dict[Path, list[ast.expr]]:
    """What each file gives as the name of a number."""
    return {
        path: [
            node.args[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "metric"
        ]
        for path in SOURCE.rglob("*.py")
    }


def _pattern(name: ast.expr) -> str:
    """Match the names that an expression may give; nothing where a variable holds it."""
    if isinstance(name, ast.Constant):
        return re.escape(name.value)
    parts = name.values if isinstance(name, ast.JoinedStr) else []
    return "".join(re.escape(p.value) if isinstance(p, ast.Constant) else r"\w*" for p in parts)


def test_each_recorded_number_is_declared():
    names = {_pattern(one) for calls in _calls().values() for one in calls} - {""}
    assert len(names) > 100
    assert [name for name in names if not any(re.fullmatch(name, one) for one in DECLARED)] == []


def test_each_declared_number_is_recorded():
    patterns = {_pattern(one) for calls in _calls().values() for one in calls}
    # Where a variable holds a name, the words of that file are its values.
    for path, calls in _calls().items():
        if any(not _pattern(one) for one in calls):
            patterns |= set(re.findall(r'"(\w+)"', path.read_text(encoding="utf-8")))
    # Of pool_tile_positions: keys of what place_slice decides, which a test of it names.
    patterns.add(r"held_out_residual_(stage|model|positions)_px")
    assert [n for n in DECLARED if not any(re.fullmatch(one, n) for one in patterns)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_each_number_once_with_a_meaning_and_thresholds_in_order(stage):
    metrics = STAGES[stage].contract.metrics
    assert len({one.name for one in metrics}) == len(metrics)
    for one in metrics:
        assert re.search(r"[^.]$", one.meaning), one.name
        assert one.is_judged or one.good == "low", one.name
        assert one.is_judged or not one.scaled, one.name
        if None not in (one.warning, one.error):
            assert (one.warning > one.error) == (one.good == "high"), one.name


def test_numbers_that_differ_in_a_word_are_declared_together():
    found = each("pitch_{}", "zy", "pitch along {}", "um")
    assert found == (
        Measure("pitch_z", "pitch along z", "um"),
        Measure("pitch_y", "pitch along y", "um"),
    )
