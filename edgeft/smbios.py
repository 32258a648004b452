"""Memory modules from the tables a PC's firmware leaves: kind and speed. Linux shows them to root only.

Structure type 17, "Memory Device", of DMTF DSP0134 (System Management BIOS Reference Specification) 3.7, section 7.18.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeft.sysfiles import Tree

_MEMORY_DEVICE, _END = 17, 127
_SIZE, _TYPE, _SPEED, _CONFIGURED = 0x0C, 0x12, 0x15, 0x20
_UNKNOWN_WORD = 0xFFFF
# Table 78 of DSP0134 3.7.
_TYPES = {
    0x12: "DDR", 0x13: "DDR2", 0x18: "DDR3", 0x1A: "DDR4", 0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3",
    0x1E: "LPDDR4", 0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip


def ram_type(tree: Tree) -> str | None:
    """As in "2 x DDR4-3200", speed in MT/s as configured; None where the tables are absent or may not be read."""
    try:
        table = tree.path("sys/firmware/dmi/tables/DMI").read_bytes()
    except OSError:
        return None
    modules = [found for body in _structures(table, _MEMORY_DEVICE) if (found := _module(body))]
    kinds = [f"{modules.count(kind)} x {kind}" for kind in dict.fromkeys(modules)]
    return ", ".join(kinds) or None


def _module(body: bytes) -> str | None:
    """None for an empty slot, and for a kind the table does not know."""
    if len(body) <= _SPEED + 1 or _word(body, _SIZE) == 0:
        return None
    kind = _TYPES.get(body[_TYPE])
    speeds = [_word(body, at) for at in (_CONFIGURED, _SPEED) if at + 2 <= len(body)]
    speed = next((one for one in speeds if one not in (0, _UNKNOWN_WORD)), None)
    return f"{kind}-{speed}" if kind and speed else kind


def _word(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 2], "little")


def _structures(table: bytes, wanted: int) -> Iterator[bytes]:
    """The formatted part of every structure of type `wanted`: each is followed by its strings and two NULs."""
    at = 0
    while at + 4 <= len(table) and table[at] != _END:
        length = table[at + 1]
        after = table.find(b"\0\0", at + length)
        if length < 4 or after < 0:
            return
        if table[at] == wanted:
            yield table[at : at + length]
        at = after + 2
