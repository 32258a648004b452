"""One reference input and the arrays it must become, both in the bundle: a device that prepares inputs in another way
(colours swapped, normalised twice, another resize, another tokenizer) is told so before it measures anything.

    eval/reference.png    a colourful picture made here; PNG, so every decoder gives the same pixels (images only)
    eval/reference.npz    the encoder's arrays of that picture, or of REFERENCE_TEXTS or REFERENCE_WORDS
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import files
from edgeft.data.dataset import Example
from edgeft.data.imagefile import pillow
from edgeft.data.words import Words
from edgeft.errors import FolderError
from edgeft.tasks.task import Encoder
from edgeft.tasks.windows import in_windows

PICTURE = "eval/reference.png"
ARRAYS = "eval/reference.npz"
# U+200B: tokenizers of BERT's kind make nothing of it.
REFERENCE_WORDS = ("What's", "the", "WEATHER", "like", "in", "Zürich", "?", "\u200b", "naïve", "日本", "😀")
REFERENCE_TEXTS = ("What's the WEATHER like in Zürich?", "naïve café, 日本 😀", "")
# Builds of Pillow for other processors may round a resized pixel the other way: one step of 255, no more.
_STEPS = 1.01


def write_reference(folder: Path, encoder: Encoder, content: str) -> list[str]:
    """Write the reference of `encoder` into the bundle `folder`; returns the names of the files, for the manifest.

    content   "image", "text" or "words"
    """
    names = [ARRAYS]
    if content == "image":
        files.write_bytes(Path(folder) / PICTURE, _picture())
        names.append(PICTURE)
    stream = io.BytesIO()
    arrays: dict[str, Any] = {**_encode(folder, encoder, content)}
    np.savez_compressed(stream, **arrays)
    files.write_bytes(Path(folder) / ARRAYS, stream.getvalue())
    return names


def check_reference(folder: Path, encoder: Encoder, content: str) -> None:
    """Raises FolderError when `encoder`, here and now, makes other arrays of the reference than it did at export."""
    path = Path(folder) / ARRAYS
    if not path.is_file() or (content == "image" and not (Path(folder) / PICTURE).is_file()):
        raise FolderError(f"{path} or its picture is missing", "copy the whole bundle, or export it again")
    found = _encode(folder, encoder, content)
    with np.load(path, allow_pickle=False) as expected:
        for name in sorted({*found, *expected.files}):
            if name not in found or name not in expected.files or not _equal(found[name], expected[name], encoder):
                raise FolderError(
                    f"inputs are prepared differently here than at export: {name} of the reference input differs",
                    "install the versions of Pillow and tokenizers that export.md names, or export again",
                )


def _encode(folder: Path, encoder: Encoder, content: str) -> dict[str, NDArray[Any]]:
    contents: Mapping[str, Callable[[], list[Any]]] = {
        "image": lambda: [Path(folder) / PICTURE],
        "text": lambda: list(REFERENCE_TEXTS),
        "words": lambda: _windows(encoder),
    }
    return encoder(contents[content]())


def _windows(encoder: Any) -> list[Any]:
    """REFERENCE_WORDS as one sentence, in windows where the model takes few tokens."""
    sentence = Example("reference", Words(REFERENCE_WORDS), (0,) * len(REFERENCE_WORDS))
    return [query.content for query in in_windows([sentence], encoder)]


def _equal(found: NDArray[Any], expected: NDArray[Any], encoder: Encoder) -> bool:
    """Token ids exactly; pixels within one step of the 255."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    step = getattr(encoder, "step", None)
    if step is None:
        return bool(np.array_equal(found, expected))
    return bool((np.abs(found - expected) <= _STEPS * step).all())


def _picture() -> bytes:
    """301 x 203 pixels: red grows to the right, green downwards, blue is a chequerboard."""
    y, x = np.mgrid[0:203, 0:301]
    planes = np.stack([x * 255 // 300, y * 255 // 202, ((x // 25 + y // 25) % 2) * 255], axis=2).astype(np.uint8)
    stream = io.BytesIO()
    pillow().Image.fromarray(planes).save(stream, "PNG")
    return stream.getvalue()
