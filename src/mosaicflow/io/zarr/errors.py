"""Errors of the store layer that are also the builtin error a Python caller expects."""

from __future__ import annotations

from mosaicflow.errors import ParameterError, StoreError

__all__ = ["ArgumentError", "OmeZarrWarning", "RegionError", "StoreExistsError"]


class ArgumentError(ParameterError, ValueError):
    """A shape, chunk, level, codec or resolution that makes no sense."""


class RegionError(StoreError, ValueError):
    """A write that does not cover whole chunks, or that another write is under way in."""


class StoreExistsError(StoreError, FileExistsError):
    """The output exists and must not be replaced."""


class OmeZarrWarning(UserWarning):
    """A store can be read, but something in it is not as it should be."""
