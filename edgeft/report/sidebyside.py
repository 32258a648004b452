"""What can be said of results put side by side: conditions that differ, ratios that hold, answers that are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeft.evaluation import stats
from edgeft.evaluation.energy import EXTERNAL, NAMED
from edgeft.evaluation.result import Result
from edgeft.evaluation.stats import Ratio

# Two results are comparable in speed and energy only when all of these are equal.
CONDITIONS = (
    "system.profile_id", "system.board_model", "system.cpu_model", "system.gpu.name", "system.gpu.driver",
    "system.power_mode", "system.power_source", "system.governor", "runtime.onnxruntime.version",
    "runtime.ep_requested", "runtime.ep_chain", "runtime.ep_options", "runtime.intra_threads", "runtime.affinity",
    "runtime.allow_spinning", "runtime.graph_opt_level", "runtime.session_options", "runtime.session_config",
    "system.kernel", "system.firmware", "system.cooling", "system.psu", "system.enclosure",
    "scenario", "data.sha256", "data.n", "data.preprocessing_sha",
)  # fmt: skip
Document = Mapping[str, Any]


def differences(first: Document, other: Document) -> list[tuple[str, str, str]]:
    """(field, value in `first`, value in `other`) of every condition that is not equal."""
    pairs = [(field, _at(first, field), _at(other, field)) for field in CONDITIONS]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _at(document: Document, field: str) -> str:
    value: Any = document
    for key in field.split("."):
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return "absent" if value == {} else str(value)


def broken(document: Document) -> str:
    """The codes of the flags that make a result not valid; empty for a valid one."""
    flags = document["validity"]["flags"]
    codes = [flag["code"] for flag in flags if flag["severity"] == "invalid"]
    return "" if document["validity"]["valid"] else ", ".join(dict.fromkeys(codes)) or "its flags"


def speed_ratio(first: Document, other: Document, variant: str) -> Ratio | None:
    """How many times faster `variant` is in `other`: blocks of two sittings are not paired, so Welch's interval.

    None when a variant is absent.
    """
    if variant not in first["variants"] or variant not in other["variants"]:
        return None
    a, b = (
        [block["p50_s"] for block in document["variants"][variant]["latency"]["blocks"]] for document in (first, other)
    )
    return welch_ratio(a, b)


def welch_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Ratio of the geometric means of unpaired block values: logs, degrees of freedom by Welch and Satterthwaite
    (Welch 1947), rounded down."""
    a, b = np.log(numerators), np.log(denominators)
    shift = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Ratio(math.exp(shift), None, None, min(len(a), len(b)))
    parts = [float(x.var(ddof=1)) / len(x) for x in (a, b)]
    if sum(parts) == 0:
        return Ratio(math.exp(shift), math.exp(shift), math.exp(shift), min(len(a), len(b)))
    df = sum(parts) ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    half = stats.t_975(max(int(df), 1)) * math.sqrt(sum(parts))
    return Ratio(math.exp(shift), math.exp(shift - half), math.exp(shift + half), min(len(a), len(b)))


def energy_ratio(first: Document, other: Document, variant: str) -> Ratio | str | None:
    """Joules in `other` over those in `first`, with Welch's interval over blocks; why not when meters cover other
    things or one was modelled; None when one has none."""
    if variant not in first["variants"] or variant not in other["variants"]:
        return None
    a, b = (document["variants"][variant]["energy"] for document in (first, other))
    if "gross_j" not in a or "gross_j" not in b:
        return None
    if (a["coverage"], a["status"]) != (b["coverage"], b["status"]):
        return f"{b['status']}, {b['coverage']} instead of {a['status']}, {a['coverage']}"
    if a["status"] != "measured":
        return f"{a['status']}, not measured"
    if a["coverage"] == EXTERNAL and (a["source"], a["path"]) != (b["source"], b["path"]):
        return f"what {b['path']} and {a['path']} are wired to is not known: name it, --meter {NAMED}"
    joules = [[block["gross_j"] / block["n"] for block in one["blocks"]] for one in (b, a)]
    return welch_ratio(*joules)


def same_answers(first: Result, other: Result) -> dict[str, tuple[float, int]]:
    """Variant -> (share of samples with the same answer in both, samples): an 8-bit file may answer otherwise there.

    Empty when the two did not answer the same samples.
    """
    if _at(first.document, "data.sha256") != _at(other.document, "data.sha256"):
        return {}
    a, b = first.samples(), other.samples()
    if "positions" not in a or "positions" not in b:
        return {}
    _, rows_a, rows_b = np.intersect1d(a["positions"], b["positions"], return_indices=True)
    found = {}
    for variant in first.document["variants"]:
        key = f"{variant}/predicted"
        if key in a and key in b and len(rows_a):
            found[variant] = (float(np.mean(a[key][rows_a] == b[key][rows_b])), len(rows_a))
    return found
