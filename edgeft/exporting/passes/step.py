"""What a graph pass is, and how a row of them is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import onnx_ir as ir

from edgeft.errors import ModelError


class Pass(Protocol):
    """One change of an ONNX graph.

    name      as the report shows it
    contract  what holds for every graph after the pass, one line
    """

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> str: ...

    def apply(self, model: ir.Model) -> int:
        """Change the graph in place; returns how many places changed."""
        ...

    def broken(self, model: ir.Model) -> list[str]:
        """Titles of the nodes for which the contract does not hold; also a gate on the written file."""
        ...


def run(model: ir.Model, pipeline: Sequence[Pass]) -> dict[str, int]:
    """Apply the passes in order and check each contract; returns changes by pass name.

    Raises ModelError when a pass leaves its contract broken: nothing may be written then.
    """
    changes = {}
    for step in pipeline:
        changes[step.name] = step.apply(model)
        left = step.broken(model)
        if left:
            raise ModelError(
                f"the export step {step.name!r} could not reach {step.contract!r} at {', '.join(left[:5])}",
                "this model needs support that edgeft does not have; export --variants original,float32 works",
            )
    return changes
