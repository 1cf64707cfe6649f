"""What all tests share."""

import signal

import pytest

from mosaicflow.engine import workers

# The runs of a session fork their workers from one server. What a worker would import again in each
# run is imported there once: this program (pytest), and the plots of a run's page.
workers._PRELOADED.extend(["__main__", "matplotlib.figure"])


@pytest.fixture
def hearing():
    """What a deaf process starts is deaf: a job in the background, or one that ran a command."""
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ends}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
