"""The plan and the counts that the preloaded library (shim.c) shares with its processes."""

import ctypes
import mmap

KINDS = {"write": 1, "rename": 2, "fsync": 3, "alloc": 4}
# Counted: what arrays of the toy run need, and little else [bytes].
LEAST_BYTES = 64 * 1024


class Shim:
    """Arms the library, and reads what it counted."""

    def __init__(self, path):
        self._file = open(path, "r+b")  # noqa: SIM115  # for as long as the process lives
        self._map = mmap.mmap(self._file.fileno(), 48)
        self._fields = (ctypes.c_int64 * 6).from_buffer(self._map)

    def arm(self, kind, at, error):
        self._fields[:] = [0, at, error, LEAST_BYTES, 0, 0]
        self._fields[0] = KINDS[kind]

    def disarm(self):
        """Stop counting; give the number of calls and whether one failed."""
        self._fields[0] = 0
        return self._fields[4], bool(self._fields[5])
