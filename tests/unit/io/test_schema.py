"""Files of another version of this program are read, or refused by name."""

import json

import numpy as np
import pytest

from mosaicflow.errors import FormatError
from mosaicflow.io.images import StoredImage
from mosaicflow.io.tables import SCHEMA, read_document, read_json, write_document
from mosaicflow.io.zarr import OmeZarrWriter


def test_a_document_tells_its_schema_first_and_is_read_back(tmp_path):
    path = tmp_path / "stage_model.json"
    write_document(path, {"n_links": 3})
    assert list(read_json(path)) == ["schema", "n_links"]
    assert read_document(path) == {"schema": SCHEMA, "n_links": 3}


def test_a_document_of_0_1_0_which_names_no_schema_is_read(tmp_path):
    path = tmp_path / "z00_failure.json"
    path.write_text('{"slice_id": 0}')
    assert read_document(path) == {"slice_id": 0}


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", None, True, [1]])
def test_a_document_of_a_schema_that_nobody_knows_is_refused_by_name(tmp_path, schema):
    path = tmp_path / "alignment.json"
    path.write_text(json.dumps({"schema": schema}))
    with pytest.raises(FormatError, match=r"alignment\.json: is of schema .*, expected 1 or none"):
        read_document(path)


def test_what_is_no_object_is_refused_by_name(tmp_path):
    path = tmp_path / "z00_z01_transform.json"
    path.write_text("[1, 2]")
    with pytest.raises(FormatError, match=r"z00_z01_transform\.json: expected an object"):
        read_document(path)


@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_a_store_of_this_or_of_no_schema_opens_as_an_input(tmp_path, schema):
    store = make(tmp_path, schema)
    assert StoredImage(store).shape == (2, 3, 4)


def test_a_store_of_a_later_schema_is_refused_as_an_input_by_name(tmp_path):
    store = make(tmp_path, SCHEMA + 1)
    with pytest.raises(FormatError, match=r"slice_z00_normalize\.ome\.zarr: is of schema 2"):
        StoredImage(store)


def make(folder, schema):
    path = folder / "slice_z00_normalize.ome.zarr"
    writer = OmeZarrWriter(path, (2, 3, 4))
    writer[:] = np.ones((2, 3, 4), np.float32)
    writer.finalize((0.01, 0.01, 0.01))
    root = json.loads((path / ".zattrs").read_text())
    root["mosaicflow"].pop("schema")
    if schema is not None:
        root["mosaicflow"]["schema"] = schema
    (path / ".zattrs").write_text(json.dumps(root))
    return path
