"""What a bug report needs of an installation: versions and the machine, no path, no name."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version

__all__ = ["support_lines"]

_PROGRAMS = ("nextflow", "java", "docker", "podman", "apptainer", "singularity", "sbatch")


def support_lines() -> list[str]:
    """Describe what mosaicflow runs on, one fact per line."""
    machine = [
        f"mosaicflow {version('mosaicflow')}",
        f"python     {platform.python_version()} ({platform.python_implementation()})",
        f"system     {platform.system()} {platform.release()}, {platform.machine()}, {_libc()}",
        f"machine    {os.cpu_count()} processors, {_memory_gib()} GiB of memory",
        f"programs   {', '.join(filter(shutil.which, _PROGRAMS)) or 'none of those looked for'}",
    ]
    return machine + [f"library    {name} {found}" for name, found in _libraries()]


def _libc() -> str:
    return " ".join(platform.libc_ver()) or "C library not known"


def _memory_gib() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f}"
    except (ValueError, OSError):
        return "an unknown number of"


def _libraries() -> list[tuple[str, str]]:
    """Return every library that mosaicflow declares, optional ones too, with its version."""
    names = {re.split(r"[^\w.-]", entry)[0] for entry in requires("mosaicflow") or []}
    return [(name, _version(name)) for name in sorted(names, key=str.casefold)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
