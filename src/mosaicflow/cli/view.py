"""``mosaicflow view``: a store in a viewer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mosaicflow.io.zarr.reader import StoreChoice

__all__ = ["tunnel", "view"]


def view(
    path: str,
    *,
    viewer: Literal["auto", "napari", "neuroglancer"] = "auto",
    port: int = 0,
    browser: bool = True,
    channel: int | None = None,
    time: int | None = None,
) -> None:
    """Show a store in napari where it is installed, otherwise in Neuroglancer.

    Of the output folder of a run its volume is shown. On a machine that you reach by ssh the
    command that brings the page to your own screen is printed, too.

    Neuroglancer runs in a browser; the store is served to it from this machine until you press
    Ctrl-C.

    Examples: ``mosaicflow view OUT``;
    ``mosaicflow view OUT/slices/normalize/slice_z03_normalize.ome.zarr``;
    ``mosaicflow view OUT --port 8080 --no-browser``.

    Parameters
    ----------
    path : str
        Folder or URL of an OME-Zarr store, or the output folder of a run.
    viewer : {"auto", "napari", "neuroglancer"}, optional
        Which viewer to use.
    port : int, optional
        Port of the local server; 0 takes a free one.
    browser : bool, optional
        Open the page in a browser; otherwise only its address is printed.
    channel : int, optional
        Channel to show (Neuroglancer: to set the contrast by), where there are several.
    time : int, optional
        Time point to show (Neuroglancer: to set the contrast by), where there are several.
    """
    from mosaicflow.io.zarr.errors import explained
    from mosaicflow.io.zarr.reader import StoreChoice

    path = _volume_of(path)
    choice = StoreChoice(channel=channel, time=time)
    with explained(path):
        _show(path, viewer, choice, port, browser=browser)


def _volume_of(path: str) -> str:
    """Give the volume of a run's output folder; all else stays as it is."""
    from pathlib import Path

    from mosaicflow.io.tables import read_json

    record = Path(path) / "pipeline_info" / "run.json"
    if "://" in path or not record.is_file():
        return path
    outputs = read_json(record)["outputs"]
    return str(
        Path(path) / next(one for one in outputs if one.endswith(".ome.zarr") and "/" not in one)
    )


def tunnel(*addresses: str) -> str:
    """Say how to reach local addresses from the machine that this one was reached from by ssh."""
    import getpass
    import os
    from urllib.parse import urlsplit

    reached = os.environ.get("SSH_CONNECTION", "").split()
    ports = [urlsplit(one).port for one in addresses]
    here = [f"-L {port}:127.0.0.1:{port}" for port in dict.fromkeys(ports) if port]
    if len(reached) != 4 or not here:
        return ""
    return f"on your own machine first: ssh -N {' '.join(here)} {getpass.getuser()}@{reached[2]}\n"


def _show(path: str, viewer: str, choice: StoreChoice, port: int, *, browser: bool) -> None:
    from mosaicflow.io.viewing.viewers import has_napari, show_in_napari

    if viewer == "napari" or (viewer == "auto" and has_napari()):
        show_in_napari(path, choice)
        return
    _serve(path, choice, port, browser=browser)


def _serve(path: str, choice: StoreChoice, port: int, *, browser: bool) -> None:
    import contextlib
    import threading
    import webbrowser

    from mosaicflow.cli.signals import Terminated, forget_signal
    from mosaicflow.errors import StoreError
    from mosaicflow.io.viewing.server import StoreServer
    from mosaicflow.io.viewing.viewers import neuroglancer_viewer
    from mosaicflow.io.zarr.info import read_omezarr_info

    location = read_omezarr_info(path).location
    if location.is_zip:
        raise StoreError(
            f"{path}: a browser cannot look into a zip archive",
            remedy="unpack it, or make a folder of it with mosaicflow convert",
        )
    with contextlib.ExitStack() as stack:
        url, server = str(location), None
        if not location.is_url:
            server = stack.enter_context(StoreServer(location.path / location.prefix, port))
            url = server.url
        viewer = neuroglancer_viewer(path, url, choice)  # its page is there as long as it is
        page = viewer.get_viewer_url()
        if server is not None:
            server.allow_page(page)
        way_in = tunnel(page, *([url] if server is not None else []))
        sys.stdout.write(f"{way_in}{page}\nserving {url}; stop with Ctrl-C\n")
        sys.stdout.flush()
        if browser:
            webbrowser.open(page)
        try:
            threading.Event().wait()
        except Terminated:
            raise
        except KeyboardInterrupt:  # the way out that was named
            forget_signal()
