"""What is written of a content that is no file, and how it is read again: texts and words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.data.words import Words

KEYS = ("text", "tokens")


def as_json(content: str | Words) -> dict[str, Any]:
    """{"text": …} or {"tokens": […]}."""
    return {"text": content} if isinstance(content, str) else {"tokens": list(content.words)}


def from_json(row: Mapping[str, Any]) -> str | Words:
    """The inverse. Raises KeyError for a row with neither, TypeError for tokens that are no texts."""
    if "text" in row:
        if not isinstance(row["text"], str):
            raise TypeError("a text is no text")
        return str(row["text"])
    if not all(isinstance(word, str) for word in row["tokens"]):
        raise TypeError("a word is no text")
    return Words(tuple(row["tokens"]))


def digest(content: Path | str | Words) -> str:
    """SHA-256 of the content as it is now."""
    if isinstance(content, Path):
        return files.sha256_file(content)
    return files.sha256_text(content) if isinstance(content, str) else content.sha256


def length(content: Path | str | Words) -> int:
    """Characters; 0 for a file."""
    return 0 if isinstance(content, Path) else len(str(content))
