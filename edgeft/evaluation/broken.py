"""What flags take away: figures that a flag of severity "invalid" touches may not be relied on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PARTS = {"all": ("accuracy", "latency", "energy")}


def broken(flags: Sequence[Mapping[str, Any]], *variants: str) -> dict[str, str]:
    """Part ("accuracy", "latency", "energy") -> evidence of the first invalid flag that touches it.

    A flag about a variant counts only when that is one of `variants`; a flag about none touches them all.
    """
    found: dict[str, str] = {}
    for one in flags:
        if one["severity"] == "invalid" and one.get("variant") in (None, *variants):
            for part in _PARTS.get(one["affects"], (one["affects"],)):
                found.setdefault(part, one["evidence"])
    return found
