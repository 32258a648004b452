"""What a gate is: a question about a written file with a yes or no, and the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgeft.exporting.gates.artifact import Artifact

_SHOWN = 6


@dataclass(frozen=True)
class Outcome:
    """passed, the evidence in one line, and the nodes or samples it concerns."""

    passed: bool
    evidence: str
    places: tuple[str, ...] = field(default=())

    def line(self) -> str:
        """The evidence with the first few places."""
        if not self.places:
            return self.evidence
        more = f" and {len(self.places) - _SHOWN} more" if len(self.places) > _SHOWN else ""
        return f"{self.evidence}: {', '.join(self.places[:_SHOWN])}{more}"


class Gate(Protocol):
    """name as manifest and report show it; `run` looks at the file itself, never at what was meant to be written."""

    @property
    def name(self) -> str: ...

    def run(self, artifact: Artifact) -> Outcome: ...


def run_all(artifact: Artifact, gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Every gate's outcome as the manifest keeps it. A file that onnxruntime cannot run fails the gate that tried."""
    found = []
    for gate in gates:
        try:
            outcome = gate.run(artifact)
        except Exception as error:  # onnxruntime's errors have no common base, and the gate must judge
            outcome = Outcome(False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        found.append(
            {"variant": artifact.variant, "gate": gate.name, "passed": outcome.passed, "evidence": outcome.line()}
        )
    return found
