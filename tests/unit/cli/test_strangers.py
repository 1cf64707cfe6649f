"""Folders of results that come from anybody are blamed by name for what cannot be read in them."""

import json
import re

import pytest

from mosaicflow.cli.compare import compare
from mosaicflow.cli.evaluate import evaluate
from mosaicflow.cli.strangers import reading
from mosaicflow.errors import FormatError, InputError

SOUND = {"outputs": [], "parameters": {}, "engine": {}}


@pytest.mark.parametrize("told", [{}, {"outputs": 3}, {"outputs": [7]}])
def test_a_record_of_a_run_that_says_nonsense_names_its_folder(tmp_path, told):
    (tmp_path / "pipeline_info").mkdir()
    record = {} if not told else {**SOUND, **told}
    (tmp_path / "pipeline_info/run.json").write_text(json.dumps(record))
    with pytest.raises((FormatError, InputError), match=re.escape(str(tmp_path))):
        compare(tmp_path, output=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_metrics_that_are_none_name_their_folder(tmp_path):
    for name, content in (
        ("pipeline_info/run.json", SOUND),
        ("metrics/a.metrics.json", {"metrics": {"one": 3}}),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(
        FormatError, match=r"holds what cannot be read \(TypeError .* at records.py"
    ):
        compare(tmp_path, output=tmp_path / "page.html")


def test_a_truth_that_is_none_names_its_folder(tmp_path):
    (tmp_path / "truth.json").write_text('{"slices": 3}')
    with pytest.raises((FormatError, InputError)):
        evaluate(run=tmp_path, truth=tmp_path)


@pytest.mark.parametrize("error", [InputError("told"), OSError("told"), MemoryError("told")])
def test_what_is_known_is_left_as_it_is(tmp_path, error):
    with pytest.raises(type(error), match=r"^told$"), reading(tmp_path):
        raise error
