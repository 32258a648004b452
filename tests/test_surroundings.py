"""What a person states of a machine, and the memory modules its firmware lists."""

from pathlib import Path

import pytest

from edgeft import surroundings
from edgeft.machine import describe_machine
from edgeft.smbios import ram_type
from edgeft.sysfiles import Tree


def test_text_and_table_are_one_statement() -> None:
    said = "cooling=fan at full speed;psu=official 27 W;ambient_c=21.5"
    assert surroundings.read(" ambient_c=21.50; psu = official 27 W ;cooling=fan at full speed;") == said
    assert surroundings.read({"ambient_c": 21.5, "psu": "official 27 W", "cooling": "fan at full speed"}) == said
    assert surroundings.record(said) == {
        "cooling": "fan at full speed", "psu": "official 27 W", "ambient_c": 21.5,
        "stated": ["cooling", "psu", "ambient_c"],
    }  # fmt: skip
    assert surroundings.record(None) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("coling=fan", "cooling"),
        ("fan", "KEY=VALUE"),
        ("cooling=", "passive"),
        ("ambient_c=warm", "degrees Celsius"),
        ("ambient_c=295", "degrees Celsius"),
        ("ambient_c=nan", "degrees Celsius"),
        ("", "some text"),
    ],
)
def test_other_statements_are_refused(given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        surroundings.read(given)


def module(size: int, kind: int, speed: int, configured: int) -> bytes:
    """A memory device as DSP0134 3.7 lays it out up to its configured speed, with one string."""
    body = bytearray(0x22)
    body[0], body[1] = 17, len(body)
    body[0x0C:0x0E], body[0x12] = size.to_bytes(2, "little"), kind
    body[0x15:0x17], body[0x20:0x22] = speed.to_bytes(2, "little"), configured.to_bytes(2, "little")
    return bytes(body) + b"DIMM 0\0\0"


def tables(root: Path, *structures: bytes) -> Tree:
    place = root / "sys/firmware/dmi/tables/DMI"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"".join(structures))
    return Tree(root)


BIOS = bytes([0, 4, 0, 0]) + b"\0\0"  # a structure without strings ends in two NULs
END = bytes([127, 4, 0, 0]) + b"\0\0"


def test_modules_are_counted_by_kind_and_configured_speed(tmp_path: Path) -> None:
    ddr4, empty = module(16384, 0x1A, 3200, 2933), module(0, 0x02, 0, 0)
    assert ram_type(tables(tmp_path, BIOS, ddr4, empty, ddr4, END)) == "2 x DDR4-2933"
    mixed = tables(tmp_path, ddr4, module(8192, 0x22, 4800, 0), module(8192, 0x1E, 0xFFFF, 0), END)
    assert ram_type(mixed) == "1 x DDR4-2933, 1 x DDR5-4800, 1 x LPDDR4"
    assert describe_machine(tmp_path)["ram_type"] == "1 x DDR4-2933, 1 x DDR5-4800, 1 x LPDDR4"


def test_tables_that_are_cut_absent_or_of_a_virtual_machine_say_nothing(tmp_path: Path) -> None:
    assert ram_type(Tree(tmp_path)) is None
    assert ram_type(tables(tmp_path, module(16384, 0x1A, 3200, 2933)[:-3])) is None
    assert ram_type(tables(tmp_path, module(16384, 0x02, 0, 0), END)) is None  # kind "unknown"
    assert ram_type(tables(tmp_path, bytes([17, 0, 0, 0]), END)) is None  # a length that would never end
    assert "ram_type" not in describe_machine(tmp_path)
