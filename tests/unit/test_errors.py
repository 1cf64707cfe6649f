"""What errors tell people to do can be done."""

import json
import shlex
import sys
from importlib.metadata import PathDistribution

import pytest

from mosaicflow.errors import install_extra


@pytest.fixture
def installed_from(tmp_path, monkeypatch):
    """Have the package look as if it was installed from an address, or from an index."""

    def pretend(url):
        info = tmp_path / "mosaicflow-1.0.dist-info"
        info.mkdir()
        if url:
            (info / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {}}))
        found = PathDistribution(info)
        monkeypatch.setattr("importlib.metadata.distribution", lambda _name: found)

    return pretend


def test_an_extra_of_a_checkout_is_installed_from_it_into_this_python(tmp_path, installed_from):
    checkout = tmp_path / "my code"
    checkout.mkdir()
    installed_from(checkout.as_uri())
    words = shlex.split(install_extra("view"))
    assert words == [sys.executable, "-m", "pip", "install", "-e", f"{checkout}[view]"]


@pytest.mark.parametrize("url", ["", "file:///is/gone", "https://host/mosaicflow.whl"])
def test_an_extra_of_what_came_from_elsewhere_is_asked_for_by_name(installed_from, url):
    installed_from(url)
    words = shlex.split(install_extra("cloud"))
    assert words == [sys.executable, "-m", "pip", "install", "mosaicflow[cloud]"]
