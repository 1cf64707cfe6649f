"""A specimen whose brightness varies along z, cut into slices that fade below their faces."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mosaicflow.alignment.solution import AlignedSlice, Alignment
from mosaicflow.errors import InputError
from mosaicflow.io.tables import write_json
from mosaicflow.io.zarr import open_level, read_omezarr_info
from mosaicflow.rigid import Rigid2D
from mosaicflow.stages.estimate_depth_profile import estimate_depth_profile
from mosaicflow.stages.normalize import normalize
from mosaicflow.stages.stack import stack

INTERVAL, DEPTH, SIDE, GEL = 7, 13, 96, 0.12
FADING = np.exp(-0.04 * np.arange(DEPTH) - 0.3 * (np.arange(DEPTH) == 0))
STILL = Rigid2D(0.0, ((SIDE - 1) / 2,) * 2, (0.0, 0.0))


def specimen(n_planes, seed=0):
    """Tissue in gel; white matter comes and goes along z."""
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.standard_normal((n_planes, SIDE, SIDE)), (1.0, 1.5, 1.5))
    coarse = gaussian_filter(rng.standard_normal((n_planes, SIDE, SIDE)), 6.0)
    trend = np.sin(np.arange(n_planes) / n_planes * 6)[:, None, None]
    white = 1 / (1 + np.exp(-6 * (coarse / coarse.std() + trend)))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = np.clip((40 - np.hypot(y, x)) / 2, 0, 1)
    tissue = (0.6 + 0.7 * white) * np.exp(0.2 * texture / texture.std())
    return GEL + inside * (tissue - GEL)


class Cut:
    """A folder of normalised slices and where they go."""

    def __init__(self, root, write_one_slice, **options):
        self.root, self.ids = root, list(range(options.get("n", 12)))
        interval = options.get("interval", INTERVAL)
        self.truth = specimen(interval * (len(self.ids) - 1) + DEPTH)
        self.ids = [i for i in self.ids if i not in options.get("missing", ())]
        rng = np.random.default_rng(5)
        placed, self.slices = [], []
        for i in self.ids:
            light = options.get("gains", {}).get(i, 1.0)
            data = self.truth[interval * i : interval * i + DEPTH] * FADING[:, None, None] * light
            noise = options.get("noise", {}).get(i, 0.15)
            data = 1000 * data * rng.gamma(1 / noise**2, noise**2, data.shape)
            raw = write_one_slice(root / f"slice_z{i:02d}_crop_interface.ome.zarr", data, i)
            self.slices.append(root / f"slice_z{i:02d}_normalize.ome.zarr")
            enabled = options.get("enabled", True)
            normalize(slice_path=raw, output=self.slices[-1], normalize_enabled=enabled)
            placed.append(AlignedSlice(i, STILL, (1.0, 1.0), interval * i, 0.9, "graph"))
        self.alignment = root / "alignment.json"
        n_planes = len(self.truth)
        solved = Alignment(
            self.ids[0], (10.0,) * 3, (SIDE, SIDE), n_planes, interval, tuple(placed)
        )
        write_json(self.alignment, solved.to_json())

    def profile(self):
        path = self.root / "depth_profile.json"
        estimate_depth_profile(slices=tuple(self.slices), alignment=self.alignment, output=path)
        return json.loads(path.read_text())

    def volume(self, name="v", **options):
        path = self.root / f"{name}.ome.zarr"
        stack(slices=tuple(self.slices), alignment=self.alignment, output=path, **options)
        return open_level(path)[:]

    def drawn(self, **options):
        self.profile()
        return self.volume(depth_profile=self.root / "depth_profile.json", **options)

    def brightness_error(self, volume):
        """Relative error of each plane's tissue after one scale and offset for all planes."""
        tissue = (self.truth > 0.35) & (volume != 0)
        seen = tissue.any(axis=(1, 2))
        planes = [
            (volume[z][tissue[z]].mean(), self.truth[z][tissue[z]].mean())
            for z in np.flatnonzero(seen)
        ]
        found, true = np.array(planes).T
        error = np.full(len(volume), np.nan)
        error[seen] = np.polyval(np.polyfit(found, true, 1), found) / true - 1
        return error

    def metrics(self, name):
        return json.loads((self.root / f"{name}.metrics.json").read_text())


@pytest.fixture
def cut(tmp_path, write_one_slice):
    return lambda **options: Cut(tmp_path, write_one_slice, **options)


def log_error(record):
    found = np.log(record["level"])
    return np.abs(found - found.mean() - np.log(FADING) + np.log(FADING).mean()).max()


def test_the_specimens_own_brightness_along_z_is_kept(cut):
    made = cut()
    record = made.profile()
    assert record["source"] == "measured"
    assert log_error(record) < 0.02
    volume = made.drawn()
    error = made.brightness_error(volume)
    assert np.nanstd(error) < 0.012
    percentiles = made.brightness_error(made.volume("w"))  # by normalize alone
    assert np.nanstd(percentiles) > 4 * np.nanstd(error)
    values = made.metrics("depth_profile")["metrics"]
    assert values["ratio_spread_after"]["value"] < 0.4 * values["ratio_spread_before"]["value"]
    assert made.metrics("v")["overall_status"] == "ok"


def test_gel_is_0_the_brightest_tissue_1_and_no_data_exactly_0(cut):
    made = cut()
    volume = made.drawn()
    gel = volume[:, 2:10, 2:10]
    assert abs(np.median(gel)) < 0.06
    assert (gel != 0).all()
    assert 0.8 < np.percentile(volume[made.truth > 0.35], 99.9) < 1.3
    assert made.metrics("v")["metrics"]["above_display"]["value"] < 0.002


def test_the_volumes_metadata_lead_back_to_recorded_values(cut):
    made = cut(gains={4: 0.7})
    volume = made.drawn()
    block = read_omezarr_info(made.root / "v.ome.zarr").mosaicflow
    intensity, gain = block["intensity"], block["slices"][4]["gain"]
    depth = 6  # far from both seams
    level = np.array(intensity["level"])[depth]
    span = intensity["white"] - intensity["black"]
    recorded = (volume[4 * INTERVAL + depth] * span + intensity["black"]) * level / gain
    true = open_level(made.root / "slice_z04_crop_interface.ome.zarr")[depth]
    np.testing.assert_allclose(recorded[5:-5, 5:-5], true[5:-5, 5:-5], rtol=2e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"gains": {5: 0.1}},
        {"noise": {5: 0.9}},
        {"missing": (4, 8)},
        {"missing": (6,), "gains": {3: 0.1}, "noise": {9: 0.9}},
        {"gains": {i: 1 + 0.05 * (-1) ** i for i in range(12)}},
    ],
    ids=["dark", "noisy", "missing", "all three", "gains"],
)
def test_odd_slices_do_not_spoil_it(cut, options):
    made = cut(**options)
    record = made.profile()
    assert record["source"] == "measured"
    assert log_error(record) < 0.03
    error = made.brightness_error(made.drawn())
    assert np.nanstd(error) < 0.03


def test_a_dark_slice_alone_between_gaps_is_matched_and_named(cut):
    made = cut(missing=(4, 5, 7, 8), gains={6: 0.1})
    volume = made.drawn()
    note = next(n for n in made.profile()["slices"] if n["slice_id"] == 6)
    assert not note["shares_tissue"]
    assert note["log_level"] == pytest.approx(np.log(0.1), abs=0.4)
    (told,) = made.metrics("depth_profile")["warnings"]
    assert told.startswith("slice 6 without tissue in common with another: brightness")
    assert np.abs(made.brightness_error(volume)[6 * INTERVAL + 2]) < 0.3


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"n": 1}, "one slice alone"), ({"n": 3, "interval": DEPTH + 2}, "no two slices show")],
)
def test_what_cannot_be_told_falls_back_and_says_so(cut, options, reason):
    made = cut(**options)
    record = made.profile()
    assert record["source"] == "per-slice"
    assert reason in record["reason"]
    report = made.metrics("depth_profile")
    told = "notes" if options["n"] == 1 else "warnings"  # one slice has no contrast along z
    assert reason in report[told][0]
    assert report["metrics"]["profile_source"]["value"] == "per-slice"
    np.testing.assert_array_equal(made.drawn(), made.volume("w"))


def test_grey_values_as_recorded_reach_the_volume(cut):
    made = cut(enabled=False)
    assert made.profile()["source"] == "off"
    volume = made.drawn(stack_overlap_z_gain=False)
    recorded = open_level(made.root / "slice_z00_crop_interface.ome.zarr")[:INTERVAL]
    np.testing.assert_array_equal(volume[:INTERVAL], recorded)
    assert read_omezarr_info(made.root / "v.ome.zarr").mosaicflow["intensity"]["source"] == "off"


def test_slices_of_two_kinds_are_refused(cut, tmp_path):
    made = cut(n=3)
    raw = tmp_path / "slice_z01_crop_interface.ome.zarr"
    made.slices[1] = tmp_path / "plain" / "slice_z01_normalize.ome.zarr"
    made.slices[1].parent.mkdir()
    normalize(slice_path=raw, output=made.slices[1], normalize_enabled=False)
    with pytest.raises(InputError, match="slice 0 was normalised and others were not"):
        made.profile()


def test_a_profile_of_other_slices_is_refused(cut):
    made = cut(n=3)
    record = made.profile()
    record["slices"] = record["slices"][:2]
    write_json(made.root / "depth_profile.json", record)
    with pytest.raises(InputError, match=r"slice 2 is not one that depth_profile\.json was made"):
        made.volume(depth_profile=made.root / "depth_profile.json")


def test_threads_change_no_byte(cut):
    made = cut(n=4)
    one = made.profile()
    path = made.root / "depth_profile.json"
    slices = tuple(reversed(made.slices))
    estimate_depth_profile(slices=slices, alignment=made.alignment, output=path, threads=3)
    assert json.loads(path.read_text()) == one
