"""What the energy pass measured so far, as JSON and arrays and back, for an evaluation that is gone on with later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from edgeft import console
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_figures import Energy, Idle
from edgeft.evaluation.energy_pass import LoadBlock
from edgeft.evaluation.energy_plan import EnergyPlan
from edgeft.evaluation.recorders import Edge, Window
from edgeft.evaluation.stored import snapshot
from edgeft.evaluation.trace import Trace
from edgeft.evaluation.unfinished import Unfinished

Document = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


def energy_to(
    energy: Energy, plan: EnergyPlan, names: Sequence[str], finished: bool = False
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Whole rounds only, unless it is finished: half a round is measured again, and what is missing may yet come."""
    rounds = energy.rounds(names)
    pairs = [(block, window) for block, window in energy.blocks if finished or block.number < rounds]
    document = {
        "finished": finished, "meter": _meter(energy.choice), "plan": asdict(plan), "rounds": rounds,
        "failure": energy.failure if finished else None, "clock_offset_s": energy.clock_offset_s,
        "idles": [asdict(one) for one in energy.idles],
        "blocks": [{"block": asdict(block), "window": asdict(window)} for block, window in pairs],
    }  # fmt: skip
    trace = energy.trace
    return document, {} if trace is None else {"t_s": trace.times_s, "watt": trace.watts}


@dataclass(frozen=True)
class Earlier:
    """What an interrupted evaluation measured, and whether its energy pass had ended."""

    energy: Energy
    finished: bool


def take(kept: Unfinished, choice: Choice, plan: EnergyPlan) -> Earlier | None:
    """None, with a warning, when it was measured with another meter or other lengths."""
    found = kept.read("energy")
    if found is None:
        return None
    document, arrays = found
    if (document["meter"], document["plan"]) != (_meter(choice), asdict(plan)):
        console.warn("energy was measured with another meter or other lengths: measuring it from the beginning")
        return None
    kept.took("energy" if document["finished"] else f"energy, {document['rounds']} of {plan.blocks} rounds")
    return Earlier(_energy_from(document, arrays, choice), document["finished"])


def _energy_from(document: Document, arrays: Arrays, choice: Choice) -> Energy:
    blocks = tuple((_block_from(one["block"]), Window(**one["window"])) for one in document["blocks"])
    return Energy(
        choice, tuple(Idle(**one) for one in document["idles"]), blocks, document["failure"],
        document["clock_offset_s"], Trace(arrays["t_s"], arrays["watt"]) if "t_s" in arrays else None,
    )  # fmt: skip


def _meter(choice: Choice) -> list[str]:
    meter = choice.meter
    return [choice.asked, meter.coverage, meter.source] if meter is not None else [choice.asked]


def _block_from(document: Document) -> LoadBlock:
    return LoadBlock(
        **{
            **document,
            "start": Edge(**document["start"]), "end": Edge(**document["end"]),
            "before": snapshot(document["before"]), "after": snapshot(document["after"]),
        }
    )  # fmt: skip
