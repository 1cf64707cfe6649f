"""Reason codes are written once; people read sentences."""

import pytest

from mosaicflow.reasons import Doubt, Reason, Refusal
from mosaicflow.report.records import spelled_out


@pytest.mark.parametrize("reason", Reason)
def test_people_read_a_sentence_and_never_a_code(reason):
    assert reason not in spelled_out(f"slice 3: {reason}")
    assert f"{reason}" == reason.value  # what the tables hold


@pytest.mark.parametrize("code", Doubt)
def test_each_doubt_about_a_pair_has_a_sentence(code):
    found = Refusal.of(code, 1.5, 2.5)
    assert found.sentence != code
    assert "{" not in found.sentence
