"""Gates that run the file: on other batch sizes, twice, and on every held-out sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeft.exporting import sessions
from edgeft.exporting.gates.agreement import cosine
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome
from edgeft.tasks.task import ASKED


@dataclass(frozen=True)
class Shapes:
    """Inputs and output have the names, types and free axes of the manifest (microsoft/onnxruntime#8169)."""

    name: str = "inputs and outputs"

    def run(self, artifact: Artifact) -> Outcome:
        found = [*artifact.model.graph.inputs, *artifact.model.graph.outputs]
        written = [_spec(value) for value in found]
        declared = [(spec.name, spec.dtype, spec.shape) for spec in [*artifact.inputs, artifact.output]]
        wrong = tuple(f"{has} is declared {says}" for has, says in zip(written, declared, strict=False) if has != says)
        if len(written) != len(declared):
            wrong += (f"{len(written)} tensors, {len(declared)} declared",)
        free = sum(isinstance(size, str) for _, _, shape in written for size in shape)
        return Outcome(not wrong, "not as declared" if wrong else f"as declared, {free} free axes", wrong)


def _spec(value: object) -> tuple[str, str, tuple[int | str, ...]]:
    shape = value.shape  # type: ignore[attr-defined]
    sizes = tuple(size if isinstance(size, int) else str(size.value) for size in shape)
    return value.name, value.dtype.numpy().name, sizes  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Batches:
    """Batches of 1, 3 and an odd rest give the rows of the large batch (pytorch#99701: a baked-in batch size)."""

    sizes: tuple[int, ...] = (1, 3, 5)
    least_cosine: float = 0.99
    name: str = "batch sizes"

    def run(self, artifact: Artifact) -> Outcome:
        if isinstance(artifact.inputs[0].shape[0], int):
            return Outcome(True, f"the file takes batches of {artifact.inputs[0].shape[0]} only")
        rows = max(self.sizes) + 1
        batch = {name: np.resize(content, (rows, *content.shape[1:])) for name, content in artifact.batches[0].items()}
        whole = sessions.answer(artifact.session, batch)
        wrong = []
        for size in self.sizes:
            some = {name: content[:size] for name, content in batch.items()}
            part = sessions.answer(artifact.session, some)
            expected = whole[: int(some[ASKED].sum()) if ASKED in some else size]
            if part.shape != expected.shape:
                wrong.append(f"batch {size} gives shape {list(part.shape)}")
            elif not cosine(part, expected) > self.least_cosine:
                wrong.append(f"batch {size} gives other logits (cosine {cosine(part, expected):.4f})")
        tried = ", ".join(str(size) for size in self.sizes)
        return Outcome(not wrong, f"batches of {tried} against one of {rows}", tuple(wrong))


@dataclass(frozen=True)
class Repeats:
    """The same input twice gives the same bits (Q04 of public reports: dropout baked into the graph)."""

    name: str = "repeatable"

    def run(self, artifact: Artifact) -> Outcome:
        first, again = (sessions.answer(artifact.session, artifact.batches[0]) for _ in range(2))
        same = np.array_equal(first, again, equal_nan=True)
        return Outcome(same, "twice the same input, the same bits" if same else "twice the same input, two answers")


@dataclass(frozen=True)
class Finite:
    """No output of a held-out sample is NaN or infinite, with the optimizer off or on, padding included."""

    name: str = "finite outputs"

    def run(self, artifact: Artifact) -> Outcome:
        good = np.asarray(np.isfinite(artifact.plain).all(-1) & np.isfinite(artifact.optimized).all(-1))
        places = tuple(np.array(artifact.ids)[~good])
        return Outcome(bool(good.all()), f"{int(good.sum())} of {len(good)} samples have finite outputs", places)
