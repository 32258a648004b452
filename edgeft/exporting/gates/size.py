"""Gate: a file is as large as the dtypes of its numbers say."""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.form import external
from edgeft.exporting.gates.gate import Outcome

# A node or a small constant with its names takes about this much in the file.
_BYTES_A_RECORD = 400
_SLACK = 0.02


def stored_bytes(artifact: Artifact) -> int:
    """The file and the data files that belong to it."""
    others = {location for _, location in external(artifact.model)}
    return sum(path.stat().st_size for path in [artifact.path, *(artifact.path.parent / name for name in others)])


@dataclass(frozen=True)
class Size:
    """Not larger than predicted, two percent and the names of nodes and constants aside.

    For an integer file the largest constants stored in float are named: a weight that stayed float is what makes a
    file too large.
    """

    name: str = "size"

    def run(self, artifact: Artifact) -> Outcome:
        size, predicted = stored_bytes(artifact), artifact.predicted_bytes
        if predicted is None:
            return Outcome(True, f"{size:,} bytes; nothing predicts it")
        model = artifact.model.graph
        records = _BYTES_A_RECORD * (len(model) + len(model.initializers))
        passed = size <= predicted * (1 + _SLACK) + records
        evidence = f"{size:,} bytes, predicted {predicted:,} and at most {records:,} for names"
        return Outcome(passed, evidence, () if passed else _float_constants(artifact))


def _float_constants(artifact: Artifact) -> tuple[str, ...]:
    found = [
        (value.const_value.nbytes, f"{name} {list(value.const_value.shape.numpy())} is stored in {value.dtype}")
        for name, value in artifact.model.graph.initializers.items()
        if value.const_value is not None and value.dtype is not None and value.dtype.is_floating_point()
    ]
    return tuple(text for _, text in sorted(found, reverse=True)[:5])
