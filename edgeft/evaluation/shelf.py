"""Which variants are open at a time: all of them, or one, when memory is short."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence

from edgeft.evaluation.session import Model

# What an open session needs beyond the file's bytes, by measurement: weights packed a second time for the kernels.
MEMORY_A_FILE_BYTE = 2.0
# Room beside the larger model's file that an evaluation may take: interpreter, runtime and examples need 60 MB of it.
FREE_ROOM_BYTES = 60_000_000


class Shelf:
    """Opens variants by name and keeps at most `capacity` of them.

    With capacity 1 each block of a run loads its model anew: slower, and never more resident than the largest.
    """

    def __init__(self, open_variant: Callable[[str], Model], names: Sequence[str], capacity: int) -> None:
        self._open_variant, self.names, self.capacity = open_variant, tuple(names), capacity
        self._open: dict[str, Model] = {}

    def get(self, name: str) -> Model:
        if name not in self._open:
            while len(self._open) >= self.capacity:
                self._open.pop(next(iter(self._open)))
                give_memory_back()
            self._open[name] = self._open_variant(name)
        return self._open[name]

    def drop(self, name: str) -> None:
        """Close a variant that is not needed any more."""
        if self._open.pop(name, None) is not None:
            give_memory_back()

    def groups(self) -> list[tuple[str, ...]]:
        """The names in groups that can be open together."""
        step = self.capacity
        return [self.names[i : i + step] for i in range(0, len(self.names), step)]

    def close(self) -> None:
        self._open.clear()
        give_memory_back()


def capacity(file_bytes: Sequence[int]) -> int:
    """All variants at once when they fit beside the largest file's own room, else one at a time."""
    needed = MEMORY_A_FILE_BYTE * sum(file_bytes)
    return len(file_bytes) if needed <= max(file_bytes) + FREE_ROOM_BYTES else 1


def give_memory_back() -> None:
    """Return freed memory to the system, where glibc can, so that the next model does not come on top."""
    gc.collect()
    _glibc("malloc_trim", 0)


# <malloc.h>; blocks from this size on are mapped one by one and leave no hole in the heap when they are freed.
_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES = -3, 1 << 20


def map_large_blocks() -> None:
    """Stop glibc from raising its mmap threshold, as it does after the first large free.

    Loading 82 MB models in turn peaked at 271 MB without this and at 173 MB with it. Queries are as fast: their
    tensors come from onnxruntime's arena, which keeps its blocks. Where a profile switches the arena off, do not.
    """
    _glibc("mallopt", _M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def _glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), function, None)
        if found is not None:
            found(*arguments)
