"""An estimate of energy where no meter works, only when it is asked for: watts somebody names, times the time of a
query.

It is labelled "modelled" with its inputs everywhere. It says nothing that the latency does not say, so there is no
comparison, no claim and no budget on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeft.errors import UsageError
from edgeft.evaluation.timing import Pace
from edgeft.evaluation.validity import Flag, flag
from edgeft.options import watts
from edgeft.profile import Profile

FORMULA = "watts x mean time of a query / examples of a query"


@dataclass(frozen=True)
class Model:
    """The watts taken while a model runs lie between `low_w` and `high_w`; `source` says who says so."""

    low_w: float
    high_w: float
    source: str
    coverage: str

    @property
    def words(self) -> str:
        shown = f"{self.low_w:g}" if self.low_w == self.high_w else f"{self.low_w:g} to {self.high_w:g}"
        return f"{shown} W ({self.source}) x the time of a query"


def choose(asked: str | None, profile: Profile) -> Model | None:
    """None when no estimate is asked for. Raises UsageError when the profile knows no watts."""
    if asked is None:
        return None
    if asked != "profile":
        return Model(*watts(asked), "given with --energy-model", "as the watts given")
    published = profile.plausibility.get("load_w")
    if published is None:
        raise UsageError(
            f"profile {profile.id} has no published watts (plausibility.load_w)", "name them: --energy-model WATTS"
        )
    return Model(float(published[0]), float(published[1]), f"published load at the wall, profile {profile.id}", "wall")


def estimate(model: Model | None, found: Mapping[str, Any], query_s: float, pace: Pace) -> dict[str, Any]:
    """`found` as it is when it was measured or no model is asked for; else the estimate in its place."""
    if model is None or found["status"] != "not_measured":
        return dict(found)
    low, high = (power_w * query_s / pace.batch for power_w in (model.low_w, model.high_w))
    return {
        "status": "modelled",
        "reason": found["reason"],
        "source": model.words,
        "coverage": model.coverage,
        "per": "example",
        "gross_j": (low + high) / 2,
        "gross_range_j": [low, high],
        "model": {
            "formula": FORMULA, "watts": [model.low_w, model.high_w], "watts_source": model.source,
            "query_s": query_s, "batch": pace.batch,
        },
    } | ({"tried": found["tried"]} if "tried" in found else {})  # fmt: skip


def flags(parts: Mapping[str, Mapping[str, Any]]) -> list[Flag]:
    """parts: "energy" of each variant."""
    sources = {part["source"] for part in parts.values() if part["status"] == "modelled"}
    return [flag("modelled", "note", f"energy is modelled, not measured: {source}", "energy") for source in sources]
