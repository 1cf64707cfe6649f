"""What an object store says of a file or folder, in the words of `os`."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["Entry", "entry_of", "folder_entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of one member of a folder; the part of os.DirEntry that is used here."""

    name: str
    path: str
    status: os.stat_result

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)

    def is_file(self) -> bool:
        """Whether it is a file."""
        return stat.S_ISREG(self.status.st_mode)

    def is_symlink(self) -> bool:
        """No store has links."""
        return False

    def stat(self) -> os.stat_result:
        """Size and time of change."""
        return self.status


def folder_entry(name: str) -> Entry:
    """Describe a folder, of which a store knows no more than the name."""
    return entry_of({"name": name, "type": "directory"})


def entry_of(found: dict[str, Any]) -> Entry:
    """Put what fsspec tells of a file or folder into the words of `os`."""
    name = found["name"].rstrip("/")
    is_folder = found["type"] == "directory"
    changed = next((found[key] for key in ("LastModified", "mtime", "updated", "created")
                    if found.get(key)), None)  # fmt: skip
    mode = stat.S_IFDIR | 0o555 if is_folder else stat.S_IFREG | 0o444
    version = str(found.get("ETag") or found.get("etag") or found.get("generation") or "")
    seconds = _seconds(changed)
    fields = (mode, _number(version), 0, 1, 0, 0, int(found.get("size") or 0), 0, seconds, 0)
    # A listing and a look at one file tell the time to different parts of a second.
    exact = {"st_mtime": float(seconds), "st_mtime_ns": seconds * 10**9, "st_ctime_ns": 0}
    return Entry(name.rpartition("/")[2], name, os.stat_result(fields, exact))


def _number(version: str) -> int:
    """Give a version as a whole number, exact in any JSON; 0 where a store does not tell it."""
    return int(re.sub(r"[^0-9a-f]", "", version.lower())[:13] or "0", 16)


def _seconds(changed: Any) -> int:  # noqa: ANN401  # every store has its own
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed.replace("Z", "+00:00"))
    if isinstance(changed, datetime):
        return int(changed.timestamp())
    return int(changed or 0)
