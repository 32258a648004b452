"""The licence of a pretrained model, as far as its own folder says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

# Front matter of a model card: what stands between two lines of three dashes at its beginning.
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"^license:\s*[\"']?([^\"'\n#]+?)[\"']?\s*$", re.MULTILINE)
_FILES = ("LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.md", "COPYING")


def licence_of(folder: Path) -> str | None:
    """ "apache-2.0 (config.json)": what it is and the file that says so; None when none does."""
    for name, read in (("README.md", _of_card), ("config.json", _of_config)):
        found = read(folder / name) if (folder / name).is_file() else None
        if found:
            return f"{found} ({name})"
    return next((f"see {name} in its folder" for name in _FILES if (folder / name).is_file()), None)


def _of_card(card: Path) -> str | None:
    front = _FRONT.search(card.read_text(encoding="utf-8", errors="replace"))
    line = _LINE.search(front[1]) if front else None
    return line[1].strip() if line else None


def _of_config(config: Path) -> str | None:
    """Of a transformers config, or of the timm model inside it."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
        found = document.get("license") or document.get("pretrained_cfg", {}).get("license")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) and found.strip() else None
