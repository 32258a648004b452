"""Checks on the files written: `edgeft export` exits 3 when one fails (quantization.md, section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from edgeft.exporting.gates.agreement import AgainstTorch, FusedAgainstTorch, OffAgainstOn
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import Coverage
from edgeft.exporting.gates.fixed_shapes import FixedShapes
from edgeft.exporting.gates.form import Biases, Contracts, DataInside, Inference
from edgeft.exporting.gates.gate import Gate, Outcome, run_all
from edgeft.exporting.gates.inside import FiniteInside
from edgeft.exporting.gates.on_grid import OnGrid
from edgeft.exporting.gates.placement import PairsOnInputs
from edgeft.exporting.gates.running import Batches, Finite, Repeats, Shapes
from edgeft.exporting.gates.size import Size
from edgeft.exporting.passes.step import Pass
from edgeft.scheme import Scheme

__all__ = ["Artifact", "Gate", "Outcome", "float_gates", "half_gates", "integer_gates", "run_all"]


def _every_file() -> tuple[Gate, ...]:
    return Shapes(), DataInside(), Inference(), Finite(), Batches(), Repeats(), Size()


def float_gates() -> tuple[Gate, ...]:
    return (*_every_file(), AgainstTorch(), OffAgainstOn())


def half_gates(passes: Sequence[Pass]) -> tuple[Gate, ...]:
    """float16 is held to the tolerances of float32."""
    return (*float_gates(), Contracts(passes))


def integer_gates(passes: Sequence[Pass], scheme: Scheme) -> tuple[Gate, ...]:
    """`passes` made the file; their contracts are read from it again. Integer kernels are proven where they can run:
    for a target whose kernels this machine lacks, the file's form is."""
    biases = (Biases(),) if scheme.integer_bias else ()
    kernels = Coverage() if scheme.runs_on_cpu else OnGrid(scheme.activation)
    placement = (PairsOnInputs(),) if scheme.quantizes == "inputs" else ()
    fixed = (FixedShapes(),) if scheme.static_shapes else ()
    on_file = (*_every_file(), FiniteInside(), Contracts(passes), *biases, *placement, *fixed)
    # Kernels that round more than the file says answer otherwise than the file run as written, and rightly so.
    last = FusedAgainstTorch() if scheme.rounds_in_kernel else OffAgainstOn()
    return (*on_file, kernels, AgainstTorch(), last)
