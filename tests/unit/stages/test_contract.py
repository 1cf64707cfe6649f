"""A contract is what stands at the function, and holds whoever calls it."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.errors import InputError, ParameterError
from mosaicflow.io.store_options import StoreOptions
from mosaicflow.limits import ABOVE_0
from mosaicflow.stages._contract import CONTRACTS, ChosenTable, Wired, stage
from mosaicflow.stages._table import STAGES


@pytest.fixture
def blur(monkeypatch):
    """Declare a stage that gives back what its body got."""
    monkeypatch.setattr("mosaicflow.stages._contract.CONTRACTS", {})
    got = []

    @stage("slice", label="slice", title="Blur", icon="tint")
    def blur(
        report,
        *,
        grid: Path,
        output: Path,
        channel: Wired = "",
        table: ChosenTable = None,
        width_um: Annotated[float, ABOVE_0] = 2.0,
        store: StoreOptions = StoreOptions(),
        threads: int = 1,
    ) -> None:
        """Blur a grid."""
        got.append((report, width_um, store))

    return blur, got


def call(blur, tmp_path, **options):
    function, got = blur
    grid = tmp_path / "grid.json"
    grid.write_text("{}")
    function(grid=grid, output=tmp_path / "out.json", **options)
    return got[-1]


def test_options_are_what_neither_connects_stages_nor_says_where(blur):
    contract = _contract_of(blur[0])
    assert set(contract.options) == {"table", "width_um", *StoreOptions.__dataclass_fields__}
    assert contract.arguments == ("grid", "output", "channel", "store", "threads")
    assert contract.options["table"].is_staged
    assert not contract.options["width_um"].is_staged


def _contract_of(function):
    from mosaicflow.stages import _contract

    return _contract.CONTRACTS[function.__name__]


def test_the_report_is_the_bodys_own_affair(blur, tmp_path):
    assert "report" not in inspect.signature(blur[0]).parameters
    report, _, _ = call(blur, tmp_path, width_um=3.0)
    assert report.step_name == "blur"
    assert list(report.inputs) == ["grid"]
    assert report.parameters["width_um"] == 3.0
    assert report.parameters["n_levels"] == 0


@given(levels=st.integers(0, 32))
def test_an_option_of_a_group_may_be_given_by_its_own_name(levels):
    contract = STAGES["correct_axial"].contract
    files = {"slice_path": Path("a"), "output": Path("b")}
    bound = contract.bind({**files, "n_levels": levels})
    assert bound["store"] == replace(StoreOptions(), n_levels=levels)
    grouped = contract.bind({**files, "store": StoreOptions(compressor="zstd"), "n_levels": levels})
    assert grouped["store"] == StoreOptions(compressor="zstd", n_levels=levels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_um": 0.0}, r"width_um is 0\.0, expected a number above 0"),
        ({"n_levels": -1}, "n_levels is -1, expected a whole number from 0 to 32"),
        ({"store": StoreOptions(sharding_factor=0)}, "sharding_factor is 0, expected a whole numb"),
    ],
)
def test_an_option_outside_its_limit_is_refused_before_anything_runs(
    blur, tmp_path, options, message
):
    with pytest.raises(ParameterError, match=message):
        call(blur, tmp_path, **options)
    assert blur[1] == []


def test_an_argument_that_is_none_is_a_mistake_of_the_caller(blur, tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'width'"):
        call(blur, tmp_path, width=3.0)


def test_every_stage_has_a_contract_of_its_own_name():
    assert {one.contract.name for one in STAGES.values()} == set(STAGES) <= set(CONTRACTS)


@pytest.mark.parametrize("name", ["estimate_illumination", "pool_tile_positions", "stack"])
def test_a_stage_without_a_file_to_work_on_says_so(tmp_path, name):
    contract = STAGES[name].contract
    needed = [n for n, one in contract.parameters.items() if one.default is one.empty]
    given = {n: () if n in contract.several else tmp_path / n for n in needed}
    first = next(n for n in needed if n in contract.several)
    with pytest.raises(InputError, match=f"{name}: {first} names no file, expected at least one"):
        STAGES[name].function(**given)
