"""How long the passes take: a range before anything ran, and one total when the time of a query is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeft.evaluation.latency import END_TO_END_RUNS, END_TO_END_SHARE
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.schedule import SETTLE, WARM_RUNS, WARM_S, BlockRule, block_rule
from edgeft.evaluation.timing import Pace


@dataclass(frozen=True)
class Costs:
    """Seconds, as far as the fresh processes of the first pass showed them.

    query_s    variant -> one steady query
    load_s     variant -> opening it
    encode_s   reading and encoding one example
    window     examples that are encoded for a round of blocks
    reopened   each block opens its variant anew
    """

    query_s: Mapping[str, float]
    load_s: Mapping[str, float]
    encode_s: float = 0.0
    window: int = 0
    reopened: bool = False


def words(seconds: float) -> str:
    """As a person plans: "4 s", "40 s", "3 min", "1 h 25 min"."""
    if seconds < 95:
        return f"{5 * round(seconds / 5) if seconds >= 10 else max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h" + (f" {rest} min" if rest else "")


def accuracy_s(names: Sequence[str], examples: int, costs: Costs) -> float:
    """Every example through every variant of `names`; without room for all it is encoded once for each of them."""
    encodings = len(names) if costs.reopened else min(len(names), 1)
    return examples * (encodings * costs.encode_s + sum(costs.query_s[name] for name in names))


def latency_s(preset: Preset, pace: Pace, names: Sequence[str], costs: Costs) -> float:
    """Warm-up, and the blocks with their minimum of queries; `names` as they take part, the A/A check too."""
    encoding_s = preset.blocks * costs.window * costs.encode_s
    return encoding_s + sum(
        _variant_s(preset, pace, costs.query_s[name], costs.encode_s)
        + (preset.blocks if costs.reopened else 1) * costs.load_s[name]
        for name in names
    )


def _variant_s(preset: Preset, pace: Pace, query_s: float, encode_s: float) -> float:
    rule, query_s = block_rule(preset), query_s * pace.batch
    whole = BlockRule(END_TO_END_RUNS, rule.min_s * END_TO_END_SHARE, rule.cap_s * END_TO_END_SHARE)
    block_s = _takes_s(SETTLE, query_s) + _takes_s(rule, max(query_s, pace.period_s))
    if pace.batch == 1:
        block_s += _takes_s(whole, max(query_s + encode_s, pace.period_s))
    # Two of the medians of a second have to agree after the shortest warm-up: most models need one more.
    return preset.blocks * block_s + _takes_s(BlockRule(WARM_RUNS, WARM_S + 1.0, preset.warm_cap_s), query_s)


def _takes_s(rule: BlockRule, query_s: float) -> float:
    """How long a block runs; a query that has begun is not cut off."""
    return max(min(max(rule.min_runs * query_s, rule.min_s), rule.cap_s), query_s)


def latency_range(preset: Preset, variants: int) -> str:
    """Before a query was run: with the fastest models, and with those that just make their queries within the cap."""
    names = [str(k) for k in range(variants)]
    fast, slow = (
        latency_s(preset, Pace(), names, Costs(dict.fromkeys(names, query_s), dict.fromkeys(names, 0.0)))
        for query_s in (0.0, preset.cap_s / preset.min_queries)
    )
    return f"about {words(fast)}, {words(slow)} with slow models"


def total(parts: Mapping[str, float], cooling_s: float, word: str = "about") -> str:
    """One line from the seconds of each pass that is to come, and of the longest wait for the machine to cool."""
    each = ", ".join(f"{name} {words(seconds)}" for name, seconds in parts.items() if seconds)
    cooling = f"; up to {words(cooling_s)} more to cool" if cooling_s else ""
    return f"time      {word} {words(sum(parts.values()))}: {each}{cooling}" if each else ""
