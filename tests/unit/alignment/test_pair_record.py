import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaicflow.alignment.pair_record import PairNumbers, PairRecord, RejectedMotion
from mosaicflow.errors import FormatError
from mosaicflow.reasons import Doubt, Refusal
from mosaicflow.rigid import Rigid2D

small = st.integers(-10_000, 10_000).map(lambda n: n / 64)
sigmas = st.integers(1, 10_000).map(lambda n: n / 64)
points = st.tuples(small, small)
motions = st.builds(Rigid2D, small, points, points)
numbers = st.builds(
    PairNumbers, small, small, small, small, small, small, sigmas, sigmas, sigmas, sigmas, small,
    sigmas, small, small,
)  # fmt: skip
registered = st.sampled_from([one for one in Doubt if one.is_of_registration])
records = st.builds(
    PairRecord,
    fixed_id=st.integers(0, 50),
    moving_id=st.integers(51, 99),
    transform=motions,
    pitch_um=st.tuples(sigmas, sigmas, sigmas),
    stage_offset_yx=points,
    numbers=numbers,
    fixed_z=st.integers(0, 99),
    moving_z=st.integers(0, 99),
    failure=st.none() | st.builds(Refusal, registered, st.text(max_size=9)),
    rejected=st.none() | st.builds(RejectedMotion, motions, small, small, sigmas, sigmas),
)


@given(records)
def test_a_pair_survives_its_file(record):
    stored = json.loads(json.dumps(record.to_json()))
    found = PairRecord.from_json(stored, "z00_z51_transform.json")
    assert found.to_json() == stored
    assert found.failure == record.failure


@given(records)
def test_what_could_not_be_measured_is_null_and_stays_unknown(record):
    stored = record.to_json() | {"correlation": None, "z_sigma_planes": None}
    found = PairRecord.from_json(stored, "a file").numbers
    assert math.isnan(found.correlation)
    assert found.z_sigma_planes == math.inf


@pytest.mark.parametrize("key", ["correlation", "fixed_z", "rejected", "sigma_px", "failure"])
def test_a_number_that_is_none_is_refused_by_name(key):
    motion = Rigid2D(0.0, (1.0, 1.0), (0.0, 0.0))
    stored = PairRecord(1, 2, motion, (1.0, 1.0, 1.0)).to_json() | {"status": "error", key: "many"}
    with pytest.raises(FormatError, match=r"^z01_z02_transform\.json: "):
        PairRecord.from_json(stored, "z01_z02_transform.json")
