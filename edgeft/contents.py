"""The kinds of content that examples have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# What several examples of a kind are called.
MANY: Mapping[str, str] = MappingProxyType(
    {"image": "images", "text": "texts", "words": "tagged words", "audio": "sounds"}
)
