"""Pass 12: what nobody reads goes, and versions are set."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
    TopologicalSortPass,
)

from edgeft.exporting import graph


@dataclass(frozen=True)
class Tidy:
    """Unused nodes and constants, stale types, source paths of the exporter and unused opsets are removed.

    ir_version  of the file: the lowest that may carry its opset, so that old runtimes load it
    """

    opset: int
    ir_version: int
    name: str = "tidy"
    contract: str = "nothing unused is stored, and the file is of the opset and IR version asked for"

    def apply(self, model: ir.Model) -> int:
        before = len(model.graph) + len(model.graph.initializers)
        for each in (
            IdentityEliminationPass(),
            RemoveUnusedNodesPass(),
            RemoveUnusedOpsetsPass(),
            TopologicalSortPass(),
            ClearMetadataAndDocStringPass(),
        ):
            each(model)
        graph.forget_types(model)
        model.ir_version = self.ir_version
        model.producer_name, model.producer_version = "edgeft", ""
        model.graph.name = "model"
        model.metadata_props.clear()
        return before - len(model.graph) - len(model.graph.initializers)

    def broken(self, model: ir.Model) -> list[str]:
        unused = [str(name) for name, value in model.graph.initializers.items() if not value.uses()]
        if model.opset_imports.get("") != self.opset:
            unused.append(f"opset {model.opset_imports.get('')}")
        if model.ir_version != self.ir_version:
            unused.append(f"IR version {model.ir_version}")
        return unused
