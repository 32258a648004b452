"""What every test needs."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Features that one test keeps must not be read by another, nor fill the cache of the person who runs them."""
    monkeypatch.setenv("EDGEFT_CACHE", str(tmp_path / "cache"))
