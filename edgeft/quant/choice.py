"""Which layers stay float: what `--keep-float` asks for, and what that means in a captured graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeft import console
from edgeft.budget import Limit, parse_budget
from edgeft.errors import ModelError, UsageError
from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import Tried
from edgeft.quant.fewest import fewest
from edgeft.quant.keep import keep_float
from edgeft.quant.layers import Wiring, choose
from edgeft.quant.raising import raise_activations
from edgeft.quant.sensitivity import Switchboard

AUTO = "auto"
_OPTION = "--keep-float"
# Samples on which layers are ranked, each being tried once, and on which a choice is checked against the budget.
RANKED, CHECKED = 128, 512
# One answer of CHECKED is 0.2 points; this only keeps 0.95 - 0.94 from being more than 0.01.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Wish:
    """What `--keep-float` asks for.

    patterns  names of layers or modules, glob patterns of them, and kinds of operators
    limit     how much accuracy "auto" may lose; None without "auto"
    wide      the layers get 16-bit activations instead (`--raise 16bit`)
    """

    patterns: tuple[str, ...] = ()
    limit: Limit | None = None
    wide: bool = False

    def __bool__(self) -> bool:
        return bool(self.patterns) or self.limit is not None

    def reason(self, chosen_by: str) -> str:
        made = "16-bit activations by --raise 16bit, chosen" if self.wide else "kept float"
        return f"{made} by {_OPTION} {chosen_by}"

    def grant(self, model: QuantModel, reasons: Mapping[str, str]) -> None:
        """Change `model`, before calibration, as wished for the layers in `reasons`."""
        if reasons:
            (raise_activations if self.wide else keep_float)(model, reasons)


NO_WISH = Wish()


def read_wish(names: Sequence[str] | None, budget: str | None, raised: str | None = None) -> Wish:
    """The wish of `--keep-float`, `--budget` and `--raise`. Raises UsageError when one needs the other, or for a limit
    of another kind."""
    if raised is not None and not names:
        raise UsageError(f"--raise {raised} raises the layers of {_OPTION}, and there are none", f"add {_OPTION} LAYER")
    patterns = tuple(name for name in names or () if name != AUTO)
    automatic = len(patterns) < len(names or ())
    if automatic and budget is None:
        raise UsageError(f"{_OPTION} auto must know how much accuracy may be lost", "add --budget 'accuracy>=-0.5pt'")
    if not automatic and budget is not None:
        raise UsageError(f"--budget is what {_OPTION} auto may lose, and there is no auto", f"add {_OPTION} auto")
    limits = parse_budget(budget) if budget is not None else ()
    if len(limits) > 1 or any(limit.quantity != "accuracy" for limit in limits):
        raise UsageError(
            f"--budget {budget}: float layers can keep accuracy and nothing else",
            "give one limit as in 'accuracy>=-0.5pt'; edgeft eval checks the others",
        )
    return Wish(patterns, limits[0] if limits else None, raised is not None)


def named(model: QuantModel, wish: Wish) -> dict[str, str]:
    """Layer -> reason, for the layers that answer to the wish's patterns. Raises UsageError for one without a layer."""
    chosen = choose(Wiring(model).layers, wish.patterns, _OPTION)
    return {name: wish.reason(pattern) for name, pattern in chosen.items()}


@dataclass(frozen=True)
class Automatic:
    """What "auto" came to.

    reasons  layer -> why it stays float
    record   figures for tuned.json: n samples, scores of the float model, of all layers quantized, and with these kept
    """

    reasons: Mapping[str, str]
    record: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        found = self.record
        names = f" ({', '.join(list(self.reasons)[:8])})" if self.reasons else ""
        scores = f"{found['score_all_quantized']:.4f} -> {found['score']:.4f}, float {found['score_float']:.4f}"
        kept = f"{len(self.reasons)} of {found['layers']} layers stay float{names}"
        return f"{_OPTION} auto: {kept}; {scores} on {found['n']} validation samples"


def automatic(model: QuantModel, wish: Wish, tried: Tried, score: Callable[[Any, Any], float]) -> Automatic:
    """The fewest layers of a calibrated model that must stay float for the wish's limit to hold on `tried`.

    score   (logits, labels) -> the task's metric
    16-bit activations, whose steps are 257 times finer, are taken for float ones here.
    Raises ModelError when no choice is enough.
    """
    limit = wish.limit
    assert limit is not None
    with Switchboard(model, tried.first(RANKED).batches) as board:
        layers = console.track(board.wiring.layers, "ranking layers", unit="layers")
        left = {layer.name: board.without([layer.name]).kl for layer in layers}
    ranked = sorted(left, key=left.__getitem__)
    with Switchboard(model, tried.batches, lambda logits: score(logits, tried.labels)) as board:

        def difference(names: Sequence[str]) -> float:
            found = board.without(names).score
            return float("-inf") if found is None or board.float_score is None else found - board.float_score

        chosen = fewest(ranked, lambda names: limit.holds(difference(names) + _ROUNDING))
        if chosen is None:
            raise ModelError(
                f"{_OPTION} auto: with every layer in float the model keeps {difference(ranked) * 100:+.2f} points on "
                f"{board.n} samples, and the budget is {limit.text}",
                "allow more in --budget",
            )
        record = {
            "budget": limit.text,
            "n": board.n,
            "layers": len(ranked),
            "score_float": board.float_score,
            "score_all_quantized": board.without([]).score,
            "score": board.without(chosen).score,
        }
    reason = wish.reason(f"auto for {limit.text}")
    found = Automatic({layer.name: reason for layer in board.wiring.layers if layer.name in chosen}, record)
    console.say(found.line())
    return found
