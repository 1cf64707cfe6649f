"""Errors of the store layer that are also the builtin error a Python caller expects."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mosaicflow.errors import MosaicflowError, ParameterError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ArgumentError",
    "AssumedUnitWarning",
    "NotAStoreError",
    "OmeZarrWarning",
    "RegionError",
    "StoreExistsError",
    "explained",
    "reaching",
]


class ArgumentError(ParameterError, ValueError):
    """A shape, chunk, level, codec or resolution that makes no sense."""


class RegionError(StoreError, ValueError):
    """A write that does not cover whole chunks, or that another write is under way in."""


class StoreExistsError(StoreError, FileExistsError):
    """The output exists and must not be replaced."""


class NotAStoreError(StoreError, ValueError):
    """Something lies there, but it is not Zarr."""


class OmeZarrWarning(UserWarning):
    """A store can be read, but something in it is not as it should be."""


class AssumedUnitWarning(OmeZarrWarning):
    """A store does not tell its unit or pixel size; micrometres are assumed."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the operating system refuses (a folder, a full disk) into an expected failure."""
    try:
        yield
    except MosaicflowError:
        raise
    except OSError as error:
        raise StoreError(
            f"{what}: {error}", remedy="check the path, its permissions and the space on the disk"
        ) from error


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Say which address an error of the network, or of a service, is about."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, MosaicflowError):
        raise
    except TimeoutError as error:
        raise StoreError(
            f"{url}: no answer in time", remedy="check the address, the network and the server"
        ) from error
    except Exception as error:  # every service fails in its own way
        raise StoreError(
            f"{url}: cannot be reached ({type(error).__name__}: {error})",
            remedy="check the address, the network and your credentials",
        ) from error
