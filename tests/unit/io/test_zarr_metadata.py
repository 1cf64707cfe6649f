"""The metadata that we write is what a maintained NGFF library would write."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicflow.io.zarr.metadata import LevelScale, PyramidNotes, build_attributes

pitches = st.floats(0.01, 1000).map(lambda value: round(value, 9))


@st.composite
def images(draw):
    """Levels and notes of an image with two or three axes."""
    axes = draw(st.integers(2, 3))
    per_axis = st.tuples(*[pitches] * axes)
    scales = draw(st.lists(per_axis, min_size=1, max_size=4))
    # From fine to coarse, as the models demand.
    scales.sort()
    scales = [
        tuple(max(column[: n + 1]) for column in zip(*scales, strict=True))
        for n in range(len(scales))
    ]
    shifts = draw(st.booleans())
    levels = [
        LevelScale(str(n), scale, draw(per_axis) if shifts else None)
        for n, scale in enumerate(scales)
    ]
    resolutions = draw(st.lists(pitches, max_size=3).map(tuple))
    return levels, PyramidNotes("mean", "block mean", "power_of_two", "yx", resolutions)


@settings(max_examples=25, deadline=None)
@given(
    image=images(), name=st.text(min_size=1, max_size=9), flavour=st.sampled_from(["0.4", "0.5"])
)
def test_the_models_of_the_library_write_the_same(image, name, flavour):
    from ome_zarr_models.v04.image import ImageAttrs
    from ome_zarr_models.v05.image import ImageAttrs as ImageAttrs05

    built = build_attributes(name, *image, flavour)
    holder, model = (built, ImageAttrs) if flavour == "0.4" else (built["ome"], ImageAttrs05)
    theirs = model.model_validate(holder).model_dump(mode="json", exclude_none=True)
    assert theirs == holder
    assert json.loads(json.dumps(built, allow_nan=False)) == built


def test_finishing_a_store_does_not_load_the_models(tmp_path):
    """They cost every task of a run 0.4 s; `mosaicflow info` and the tests ask them instead."""
    code = (
        "import sys; from mosaicflow.io.zarr import AnalysisOmeZarrWriter as W;"
        f"w = W({str(tmp_path / 'a.ome.zarr')!r}, (2, 4, 4)); w[:] = 1; w.finalize(0.01);"
        "sys.exit(bool({'ome_zarr_models', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
