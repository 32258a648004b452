"""Gate: a file is as large as the dtypes of its numbers say."""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.form import external
from edgeft.exporting.gates.gate import Outcome

# A node or a constant with its names takes at most about this much beside its numbers.
_BYTES_A_RECORD = 400
# Scalar scales, zero points and shapes, which no prediction counts.
_BYTES_A_CONSTANT = 16
_SLACK = 0.02


def stored_bytes(artifact: Artifact) -> int:
    """The file and the data files that belong to it."""
    others = {location for _, location in external(artifact.model)}
    return sum(path.stat().st_size for path in [artifact.path, *(artifact.path.parent / name for name in others)])


@dataclass(frozen=True)
class Size:
    """The numbers take what their dtypes predict, within two percent, and names and nodes take little.

    When there is more, the largest constants stored in float are named: a weight that stayed float is what makes an
    integer file too large.
    """

    name: str = "size"

    def run(self, artifact: Artifact) -> Outcome:
        size, predicted, graph = stored_bytes(artifact), artifact.predicted_bytes, artifact.model.graph
        if predicted is None:
            return Outcome(True, f"{size:,} bytes; nothing predicts it")
        constants = [value.const_value for value in graph.initializers.values() if value.const_value is not None]
        numbers = sum(constant.nbytes for constant in constants)
        numbers_fit = numbers <= predicted * (1 + _SLACK) + _BYTES_A_CONSTANT * len(constants)
        rest_fits = size - numbers <= _BYTES_A_RECORD * (len(graph) + len(constants))
        evidence = f"{numbers:,} bytes of numbers, {predicted:,} predicted; {size - numbers:,} bytes of graph and names"
        return Outcome(numbers_fit and rest_fits, evidence, () if numbers_fit else _float_constants(artifact))


def _float_constants(artifact: Artifact) -> tuple[str, ...]:
    found = [
        (value.const_value.nbytes, f"{name} {list(value.const_value.shape.numpy())} is stored in {value.dtype}")
        for name, value in artifact.model.graph.initializers.items()
        if value.const_value is not None and value.dtype is not None and value.dtype.is_floating_point()
    ]
    return tuple(text for _, text in sorted(found, reverse=True)[:5])
