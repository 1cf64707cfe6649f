"""The writer of raw tiles that the tests of acquisition have."""

from tests.unit.acquisition.conftest import raw

__all__ = ["raw"]
