"""Whatever stands in a store's metadata, a reader gives a right result or says one line."""

import contextlib
import json
import shutil
import time
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaicflow.cli.info import info
from mosaicflow.errors import FormatError, MosaicflowError
from mosaicflow.io.zarr import OmeZarrWriter, open_level, read_omezarr, validate_omezarr

HOSTILE = st.sampled_from(
    [
        None, True, -1, 0, 0.5, 1e308, 10**9, 10**30, "", "x", "../..", "\0", [], [0], [-1], [[]],
        [10**30] * 3, {}, {"id": "pickle"}, {"name": "sharding_indexed"}, "<f4", "|O", "<M8", "nan",
        [1, 2, 3, 4, 5, 6, 7], {"a": {"b": []}},
    ]
)  # fmt: skip


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def sound(request, tmp_path_factory):
    """A small mosaic grid with two levels."""
    path = tmp_path_factory.mktemp("fuzz") / "sound.ome.zarr"
    writer = OmeZarrWriter(
        path, (4, 16, 16), (4, 8, 8), "uint16", ngff_version=request.param,
        attrs={"kind": "mosaic_grid", "tile_shape": [4, 8, 8], "grid_shape": [2, 2]},
    )  # fmt: skip
    writer[:] = 7
    writer.finalize((0.01, 0.01, 0.01), n_levels=1)
    return path


def documents(store):
    names = {".zattrs", ".zgroup", ".zarray", "zarr.json"}
    return sorted(p for p in store.rglob("*") if p.name in names)


def leaves(value, path=()):
    """Places in a JSON document, containers included."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], other)
    return copy


def use(store):
    """Everything that a command does with a store; only our own errors may come out."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for act in (
            lambda: read_omezarr(store, allow_bare=True),
            lambda: open_level(store)[0, 0, 0],
            lambda: validate_omezarr(store, chunks=True),
            lambda: info(str(store), check=True, guess_units=True),
        ):
            with contextlib.suppress(MosaicflowError):
                act()
    assert time.process_time() - start < 5


@settings(suppress_health_check=list(HealthCheck), max_examples=60)
@given(data=st.data())
def test_any_value_in_any_place_of_the_metadata_is_one_line(sound, tmp_path, data):
    store = tmp_path / "a.ome.zarr"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(sound, store)
    file = data.draw(st.sampled_from(documents(store)))
    document = json.loads(file.read_text())
    place = data.draw(st.sampled_from(list(leaves(document))))
    file.write_text(json.dumps(replaced(document, place, data.draw(HOSTILE))))
    use(store)


@settings(suppress_health_check=list(HealthCheck), max_examples=60)
@given(data=st.data())
def test_any_byte_of_the_metadata_may_be_another(sound, tmp_path, data):
    store = tmp_path / "a.ome.zarr"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(sound, store)
    file = data.draw(st.sampled_from(documents(store)))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content))
    use(store)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_that_no_reader_takes_is_named(sound, tmp_path, text):
    store = tmp_path / "a.ome.zarr"
    shutil.copytree(sound, store)
    for file in documents(store)[:2]:
        file.write_text(text)
    with pytest.raises(FormatError, match=r"nested too deep|not valid JSON|cannot be read as JSON"):
        read_omezarr(store)


def test_a_pyramid_of_more_levels_than_halvings_is_refused_at_once(sound, tmp_path):
    store = tmp_path / "a.ome.zarr"
    shutil.copytree(sound, store)
    for file in documents(store):
        document = json.loads(file.read_text())
        blocks = (document, document.get("attributes", {}).get("ome", {}))
        for image in (one for block in blocks for one in block.get("multiscales", ())):
            image["datasets"] = image["datasets"][:1] * 20_000
        file.write_text(json.dumps(document))
    start = time.process_time()
    with pytest.raises(FormatError, match="announces 20000 levels, expected 64 at most"):
        read_omezarr(store)
    assert time.process_time() - start < 5


def test_an_image_of_more_chunks_than_anybody_stored_is_not_walked(sound, tmp_path):
    store = tmp_path / "a.ome.zarr"
    shutil.copytree(sound, store)
    file = next(p for p in documents(store) if p.parent.name == "0")
    document = json.loads(file.read_text())
    document["shape"] = [4, 10**9, 10**9]
    file.write_text(json.dumps(document))
    start = time.process_time()
    problems = validate_omezarr(store, chunks=True)
    assert time.process_time() - start < 5
    assert any("chunks are announced and " in p.message for p in problems)
