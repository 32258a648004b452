"""The few facts of an ONNX file that matter before a runtime sees it, read without the onnx package.

A walk over protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) with the field numbers of
onnx.proto; weights are stepped over, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.errors import ModelError

# onnx.proto: message -> field -> message inside, for the way to every tensor.
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_IR_VERSION, _OPSET_IMPORT, _EXTERNAL_DATA = 1, 8, 13
_MAX_DEPTH = 64  # If and Loop nest graphs; a deeper file is no model anybody wrote


@dataclass(frozen=True)
class OnnxFacts:
    """ir_version; opset of the default domain; locations of external data, as the file spells them."""

    ir_version: int
    opset: int
    external: tuple[str, ...]


def read_facts(path: Path) -> OnnxFacts:
    """Raises ModelError when the file is no ONNX model or is cut off."""
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty", "export again")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _facts(data)
        except (IndexError, ValueError, RecursionError, UnicodeDecodeError):
            raise ModelError(f"{path} is not an ONNX model, or is cut off", "copy it again, or export again") from None


def _facts(data: mmap.mmap) -> OnnxFacts:
    ir_version, opset, graph = 0, 0, False
    for number, value, span in _fields(data, 0, len(data)):
        if number == _IR_VERSION and span is None:
            ir_version = value
        elif number == _OPSET_IMPORT and span is not None:
            opset = _default_opset(data, span) or opset
        graph = graph or (number == 7 and span is not None)
    if not ir_version or not graph:
        raise ValueError("no model")
    return OnnxFacts(ir_version, opset, tuple(dict.fromkeys(_external(data, "model", 0, len(data), 0))))


# onnx.proto, TensorProto.DataType
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 21: "uint4", 22: "int4",
}  # fmt: skip


def read_weights(path: Path) -> dict[str, Any]:
    """{"params": numbers in the initializers of the main graph, "dtypes": dtype -> how many of them}.

    Scales, zero points and shapes that are stored as initializers count too. Raises ModelError as read_facts does.
    """
    counts: dict[str, int] = {}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for tensor in _initializers(data):
                dtype, count = _tensor(data, tensor)
                counts[dtype] = counts.get(dtype, 0) + count
        except (IndexError, ValueError):
            raise ModelError(f"{path} is not an ONNX model, or is cut off", "copy it again, or export again") from None
    return {"params": sum(counts.values()), "dtypes": dict(sorted(counts.items()))}


def _initializers(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    for number, _, graph in _fields(data, 0, len(data)):
        if number == 7 and graph is not None:
            yield from (span for inner, _, span in _fields(data, *graph) if inner == 5 and span is not None)


def _tensor(data: mmap.mmap, span: tuple[int, int]) -> tuple[str, int]:
    """(dtype, numbers in it): fields 1, its dimensions one by one or packed, and 2, its type."""
    count, kind = 1, 0
    for number, value, inner in _fields(data, *span):
        if number == 1 and inner is None:
            count *= value
        elif number == 1 and inner is not None:
            place = inner[0]
            while place < inner[1]:
                value, place = _varint(data, place)
                count *= value
        elif number == 2 and inner is None:
            kind = value
    return _DTYPES.get(kind, f"type {kind}"), count


def _default_opset(data: mmap.mmap, span: tuple[int, int]) -> int:
    domain, version = b"", 0
    for number, value, inner in _fields(data, *span):
        if number == 1 and inner is not None:
            domain = data[inner[0] : inner[1]]
        elif number == 2 and inner is None:
            version = value
    return version if domain in (b"", b"ai.onnx") else 0


def _external(data: mmap.mmap, message: str, start: int, end: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    for number, _, span in _fields(data, start, end):
        if span is None:
            continue
        if message == "tensor" and number == _EXTERNAL_DATA:
            key, value = _entry(data, span)
            if key == "location":
                yield value
        elif number in _INSIDE.get(message, {}):
            yield from _external(data, _INSIDE[message][number], *span, depth + 1)


def _entry(data: mmap.mmap, span: tuple[int, int]) -> tuple[str, str]:
    found = {number: data[inner[0] : inner[1]].decode() for number, _, inner in _fields(data, *span) if inner}
    return found.get(1, ""), found.get(2, "")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """(field number, value, None) for numbers and (field number, 0, (start, end)) for bytes and messages."""
    place = start
    while place < end:
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value, None
        elif kind == 2:
            length, place = _varint(data, place)
            if place + length > end:
                raise ValueError("cut off")
            yield number, 0, (place, place + length)
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError("no protobuf")
    if place != end:
        raise ValueError("cut off")


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("no protobuf")
