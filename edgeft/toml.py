"""Reading TOML: the standard library's reader, or the same one from PyPI on Python 3.10."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


def parse_toml(path: Path) -> dict[str, Any]:
    """The document in `path`. Raises ValueError that says what is wrong with it; a byte order mark is no fault."""
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(reader.loads(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text ({error.reason} at byte {error.start})") from None
