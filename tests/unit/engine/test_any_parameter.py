"""Any value of any parameter is taken, or refused in one line that names it, at once."""

import time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mosaicflow.engine.declared import ENGINE_PARAMETERS
from mosaicflow.engine.parameters import Parameters, stage_settings
from mosaicflow.errors import ParameterError
from mosaicflow.stages._table import STAGES

NAMES = sorted({*ENGINE_PARAMETERS, *(name for stage in STAGES for name in stage_settings(stage))})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from([10**400, -(10**400), "a\n", "9" * 5000, "0-999999999999", "../x", "a\0b"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
)


@settings(max_examples=400)
@example(name="overrides", value="9" * 5000)
@given(name=st.sampled_from(NAMES), value=VALUES)
def test_any_value_is_taken_or_refused_by_name(name, value):
    start = time.process_time()
    refused = name  # where it is taken
    try:
        Parameters({name: value}, "params.yml").effective()
    except ParameterError as error:
        refused = str(error)
    assert name in refused
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 3000 + "]" * 3000,
        "".join("  " * n + "a:\n" for n in range(400)),
        "seed: " + "9" * 5000,
        "seed: !!python/object/apply:os.system ['true']",
        "a: &a [1]\nb: [*a, *a, *a]",
        "\x00",
        "seed: 2026-13-45",
    ],
)
def test_any_yaml_is_read_or_refused_at_once(tmp_path, text):
    file = tmp_path / "params.yml"
    file.write_text(text)
    start = time.process_time()
    with pytest.raises(ParameterError, match=r"params\.yml"):
        Parameters.read(file, {})
    assert time.process_time() - start < 1


def test_a_name_with_a_line_end_is_refused(tmp_path):
    file = tmp_path / "params.yml"
    file.write_text(yaml.safe_dump({"subject_name": "a\n"}))
    with pytest.raises(ParameterError, match="subject_name"):
        Parameters.read(file, {})


@pytest.mark.parametrize("name", ["n_levels", "pyramid_n_levels"])
def test_more_levels_than_any_disk_holds_are_refused(name):
    Parameters({name: 32}, "params.yml").effective()
    with pytest.raises(ParameterError, match=f"{name} is 33, expected a whole number from 0 to 32"):
        Parameters({name: 33}, "params.yml").effective()
