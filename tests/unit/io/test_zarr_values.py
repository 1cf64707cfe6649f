"""Values that fit a store."""

from __future__ import annotations

import numpy as np
import pytest

import mosaicflow.io.zarr as api
from mosaicflow.io.zarr import OmeZarrWriter, replace_nonfinite, to_uint16


def test_to_uint16_clips_scales_and_rounds():
    data = np.array([-1, 0, 0.5, 1, 2, np.nan, np.inf, -np.inf])
    expected = [0, 0, 32768, 65535, 65535, 0, 65535, 0]
    assert to_uint16(data, 0, 1).tolist() == expected
    assert to_uint16(np.array([10, 20], np.uint8), 10, 20).tolist() == [0, 65535]
    with pytest.raises(ValueError, match="not below"):
        to_uint16(data, 1, 1)


def test_replaced_values_are_counted():
    data = np.array([1, np.nan, np.inf, 4], np.float32)
    values, count = replace_nonfinite(data)
    assert count == 2
    assert values.tolist() == [1, 0, 0, 4]
    assert values.dtype == np.float32
    whole = np.arange(4, dtype=np.uint16)
    assert replace_nonfinite(whole) == (whole, 0)
    assert replace_nonfinite(values)[0] is values


def test_plain_lz4_is_questioned(tmp_path, caplog):
    OmeZarrWriter(tmp_path / "a.ome.zarr", (2, 4, 4), compressor="lz4")
    assert "not read by Neuroglancer" in caplog.text


def test_the_public_names_are_all_there():
    assert sorted(api.__all__) == api.__all__ or set(api.__all__) <= set(dir(api))
    for name in api.__all__:
        assert getattr(api, name).__doc__
