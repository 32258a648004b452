"""An evaluation that is killed, as by a power cut: python -m tests.evaluation.killed PASS BUNDLE OUTPUT

PASS is where: cold-start, accuracy, latency, energy or writing. SIGKILL leaves no time for anything.
"""

from __future__ import annotations

import operator
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgeft.evaluation import accuracy, energy_pass, latency, passes, run
from edgeft.specs import EvalSpec
from tests.evaluation.meters.steady_meter import use_steady_meter
from tests.evaluation.shortened import shorten

# where -> (module, function, at which call of it)
PLACES: dict[str, tuple[Any, str, int]] = {
    "cold-start": (passes, "probe", 2),
    "accuracy": (accuracy, "run_logits", 40),
    "latency": (latency, "_block", 6),
    "energy": (energy_pass, "_block", 6),
    "writing": (run, "write_samples", 1),
}


def kill_at(module: Any, name: str, call: int) -> None:
    real, calls = getattr(module, name), []

    def watched(*given: Any, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)

    setattr(module, name, watched)


if __name__ == "__main__":
    shorten(operator.setitem, setattr)
    use_steady_meter(setattr)
    kill_at(*PLACES[sys.argv[1]])
    run.evaluate(
        EvalSpec(bundle=Path(sys.argv[2]), output=Path(sys.argv[3]), preset="quick", profile="generic", threads=1,
                 meter="ten-watts")
    )  # fmt: skip
