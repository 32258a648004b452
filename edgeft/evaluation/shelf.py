"""Which variants are open at a time: all of them, or one, when memory is short."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from edgeft.evaluation.session import Model

_CPU = "CPUExecutionProvider"
# What an open session needs beyond the file's bytes, by measurement: weights packed a second time for the kernels.
MEMORY_A_FILE_BYTE = 2.0
# Room beside the larger model's file that an evaluation may take: interpreter, runtime and examples need 60 MB of it.
FREE_ROOM_BYTES = 60_000_000


class Shelf:
    """Opens variants by name and keeps at most `capacity` of them.

    With capacity 1 each block of a run opens its model anew: slower, and never more resident than the largest.
    """

    def __init__(self, open_variant: Callable[[str], Model], names: Sequence[str], capacity: int) -> None:
        self._open_variant, self.names, self.capacity = open_variant, tuple(names), capacity
        self._open: dict[str, Model] = {}

    def get(self, name: str) -> Model:
        if name not in self._open:
            while len(self._open) >= self.capacity:
                self.drop(next(iter(self._open)))
            self._open[name] = self._open_variant(name)
        return self._open[name]

    def drop(self, name: str) -> None:
        """Close a variant that is not needed any more."""
        if name in self._open:
            self._open.pop(name).close()
            give_memory_back()

    def keep_only(self, names: Sequence[str]) -> None:
        """Close and forget the variants that are not among `names`."""
        for name in set(self.names) - set(names):
            self.drop(name)
        self.names = tuple(names)

    def groups(self) -> list[tuple[str, ...]]:
        """The names in groups that can be open together."""
        step = self.capacity
        return [self.names[i : i + step] for i in range(0, len(self.names), step)]

    def close(self) -> None:
        for name in list(self._open):
            self.drop(name)


def capacity(
    file_bytes: Sequence[int], provider: str = _CPU, available_bytes: int | None = None, taken_bytes: Sequence[int] = ()
) -> int:
    """All variants at once when they fit beside the largest file's own room, else one at a time.

    taken_bytes   what each took in a process of its own, 0 = unknown: with what its layers pass on, which the file
                  does not tell

    Other providers than the CPU's may compile a model for minutes when they open it: there all are open as long as
    the memory of the machine (available_bytes, None = unknown) holds them.
    """
    # What a process takes on an accelerator is mostly the driver's, once for all variants.
    needed = max(MEMORY_A_FILE_BYTE * sum(file_bytes), sum(taken_bytes) if provider == _CPU else 0)
    room = max(file_bytes) + FREE_ROOM_BYTES if provider == _CPU else available_bytes or needed
    return len(file_bytes) if needed <= room else 1


def closing_gives_memory_back(provider: str) -> bool:
    """Whether a session that is closed leaves nothing behind in this process: onnxruntime's CPU provider with glibc.

    Other providers keep their contexts and pools until the process ends, and other C libraries give nothing back.
    """
    return provider == _CPU and sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")


def give_memory_back() -> None:
    """Return freed memory to the system, where glibc can, so that the next model does not come on top."""
    gc.collect()
    _glibc("malloc_trim", 0)


# <malloc.h>. While a model is opened, blocks from 128 KB on are mapped one by one and leave no hole in the heap when
# they are freed; after that glibc has the values its own adjusting ends at: queries meet the usual allocator.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_OPENING_BYTES, _USUAL_BYTES = 128 << 10, 32 << 20


@contextmanager
def opening() -> Iterator[None]:
    """Open a model in here: its weights, and what opening them needs, come back whole when they are freed.

    docs/decisions/007-one-process-or-one-a-variant.md has the figures.
    """
    _glibc("mallopt", _M_MMAP_THRESHOLD, _OPENING_BYTES)
    try:
        yield
    finally:
        _glibc("mallopt", _M_MMAP_THRESHOLD, _USUAL_BYTES)
        _glibc("mallopt", _M_TRIM_THRESHOLD, 2 * _USUAL_BYTES)


def _glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), function, None)
        if found is not None:
            found(*arguments)
