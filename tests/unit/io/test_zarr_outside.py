"""A store is what lies in its folder: no path and no link of it leads elsewhere."""

import builtins
import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.errors import FormatError, MosaicflowError
from mosaicflow.io.zarr import read_omezarr, save_omezarr, validate_omezarr

from .conftest import noise


def metadata_file(store, flavour):
    return store / (".zattrs" if flavour == "0.4" else "zarr.json")


def point_level_to(store, flavour, path):
    file = metadata_file(store, flavour)
    document = json.loads(file.read_text())
    image = document if flavour == "0.4" else document["attributes"]["ome"]
    image["multiscales"][0]["datasets"][0]["path"] = path
    file.write_text(json.dumps(document))


@pytest.fixture
def opened(monkeypatch):
    """Every path that is opened or asked about from now on."""
    seen = []

    def noted(function):
        def wrapper(path, *args, **kwargs):
            if isinstance(path, str | os.PathLike):
                seen.append(os.path.abspath(path))
            return function(path, *args, **kwargs)

        return wrapper

    monkeypatch.setattr(builtins, "open", noted(open))
    monkeypatch.setattr(Path, "open", noted(Path.open))
    monkeypatch.setattr(Path, "read_bytes", noted(Path.read_bytes))
    return seen


@pytest.mark.parametrize("path", ["../outside", "0/../../outside", "..", "a/../../outside/0"])
def test_a_level_outside_is_refused_before_it_is_touched(store, flavour, path, opened):
    save_omezarr(noise((6, 40, 50)), store.parent / "outside", 0.01, ngff_version=flavour)
    point_level_to(store, flavour, path)
    opened.clear()
    with pytest.raises(FormatError, match=r"slice_z00.*lies outside of the store"):
        read_omezarr(store)
    assert not [p for p in opened if p.startswith(str(store.parent / "outside"))]


@pytest.mark.parametrize("part", ["0", "0/.zarray", "0/zarr.json", ".zattrs", "zarr.json"])
def test_a_link_out_of_the_store_is_refused(store, part):
    if not (store / part).exists():
        pytest.skip("not in this flavour")
    (store / part).rename(store.parent / "elsewhere")
    (store / part).symlink_to(store.parent / "elsewhere")
    with pytest.raises(FormatError, match="through a link"):
        read_omezarr(store)


def test_a_store_that_is_a_link_itself_is_what_the_user_gave(store, tmp_path):
    link = tmp_path / "given.ome.zarr"
    link.symlink_to(store)
    image, _ = read_omezarr(link)
    assert image.compute().shape == (6, 40, 50)
    (store / "twin").symlink_to(store / "0")  # inside
    assert validate_omezarr(link, chunks=True) == []


def test_a_chunk_that_is_a_link_out_is_a_problem(store, tmp_path):
    chunk = next(p for p in sorted((store / "0").rglob("*")) if p.is_file() and "z" not in p.name)
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    problems = validate_omezarr(store, chunks=True)
    assert [(p.severity, p.where) for p in problems] == [
        ("error", chunk.relative_to(store).as_posix())
    ]


def test_consolidated_metadata_names_nothing_outside(store, flavour, opened):
    if flavour != "0.4":
        pytest.skip("of Zarr v2 only")
    (store.parent / "outside").mkdir()
    (store.parent / "outside/.zarray").write_text("{}")
    (store / ".zmetadata").write_text(json.dumps({"metadata": {"../outside/.zarray": {}}}))
    opened.clear()
    with pytest.raises(FormatError, match="outside of the store"):
        read_omezarr(store)
    assert not [p for p in opened if p.startswith(str(store.parent / "outside"))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    path=st.lists(
        st.sampled_from(["..", ".", "0", "1", "outside", "", "~", "\\", "\0", "a" * 300]),
        min_size=1,
        max_size=5,
    ).map("/".join)
)
def test_whatever_path_a_level_has_nothing_outside_is_opened(store, flavour, path, opened):
    point_level_to(store, flavour, path)
    opened.clear()
    with contextlib.suppress(MosaicflowError):
        read_omezarr(store)[0].compute()
    beside = [p for p in opened if p.startswith(str(store.parent))]
    assert all(p.startswith(str(store)) for p in beside)
