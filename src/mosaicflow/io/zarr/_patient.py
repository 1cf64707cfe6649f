"""The zarr store of an address that may stop answering."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from zarr.abc.store import SuffixByteRequest
from zarr.storage import FsspecStore

from mosaicflow.io.zarr.errors import reaching

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Self

    from zarr.abc.store import ByteRequest

    from mosaicflow.io.zarr._compat import Buffer, BufferPrototype

__all__ = ["NamedStore", "PatientStore"]

# Indexes of shards kept, in bytes: 130 000 chunks at 16 bytes each. Half of it fetches the index of
# a shard again when a view spans that many chunks; twice of it only takes memory.
_INDEX_BYTES = 2 << 20


class NamedStore(FsspecStore):
    """Says which address an error of the network is about, also one of writing."""

    address: str

    def call(self, address: str) -> Self:
        """Set what an error says it is about."""
        self.address = address
        return self

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file, or a part of it; None where it does not exist (called by zarr)."""
        with reaching(self.address):
            return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer, byte_range: tuple[int, int] | None = None) -> None:
        """Write a file (called by zarr)."""
        with reaching(self.address):
            await super().set(key, value, byte_range)


class PatientStore(FsspecStore):
    """Reads with a limit on the time of each request, and each shard's index once.

    A request that gets a byte now and then keeps every limit on silence, so that only a limit on
    the whole ends it. zarr asks for the index of a shard anew for every chunk in it.
    """

    address: str
    patience_s: float

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # as FsspecStore
        super().__init__(*arguments, **options)
        self._indexes: OrderedDict[tuple[str, int], Buffer] = OrderedDict()
        self._kept_bytes = 0
        self._under_way: dict[tuple[str, int], asyncio.Task[Buffer | None]] = {}

    def be_patient(self, address: str, patience_s: float) -> Self:
        """Set how long a request may take, and what an error says it is about."""
        self.address, self.patience_s = address, patience_s
        return self

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file, or a part of it; None where it does not exist (called by zarr)."""
        if isinstance(byte_range, SuffixByteRequest):
            return await self._index(key, prototype, byte_range)
        return await self._within(super().get(key, prototype, byte_range))

    async def _within(self, answer: Coroutine[Any, Any, Buffer | None]) -> Buffer | None:
        with reaching(self.address):
            async with asyncio.timeout(self.patience_s):
                return await answer

    async def _index(
        self, key: str, prototype: BufferPrototype, part: SuffixByteRequest
    ) -> Buffer | None:
        name = key, part.suffix
        if name in self._indexes:
            self._indexes.move_to_end(name)
            return self._indexes[name]
        # Everything here runs in the one event loop of zarr, so that no lock is needed.
        if name not in self._under_way:
            answer = self._within(super().get(key, prototype, part))
            task = self._under_way[name] = asyncio.ensure_future(answer)
            task.add_done_callback(lambda done: self._keep(name, done))
        return await asyncio.shield(self._under_way[name])

    def _keep(self, name: tuple[str, int], done: asyncio.Task[Buffer | None]) -> None:
        self._under_way.pop(name)
        index = None if done.cancelled() or done.exception() else done.result()
        if index is None:
            return
        self._indexes[name] = index
        self._kept_bytes += len(index)
        while self._kept_bytes > _INDEX_BYTES:
            self._kept_bytes -= len(self._indexes.popitem(last=False)[1])
