"""Reason codes are written once; people read sentences."""

import pytest

from mosaicflow.reasons import Reason
from mosaicflow.report.records import spelled_out


@pytest.mark.parametrize("reason", Reason)
def test_people_read_a_sentence_and_never_a_code(reason):
    assert reason not in spelled_out(f"slice 3: {reason}")
    assert f"{reason}" == reason.value  # what the tables hold
