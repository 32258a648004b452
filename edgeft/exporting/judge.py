"""A written file, judged: every gate, and the figures that manifest and report keep."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir

from edgeft.exporting import gates, graph
from edgeft.exporting.gates.agreement import cosine, same_answer
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import FLOAT_KERNELS, INTEGER_KERNELS, Product, products
from edgeft.exporting.gates.size import stored_bytes
from edgeft.exporting.samples import Trial
from edgeft.exporting.variants import Made
from edgeft.tasks.task import Task

Figure = TypeVar("Figure")
# A constant smaller than this is not worth a line when it is stored twice.
_NOTABLE_BYTES = 4096
# Moves and bookkeeping; anything else that is no integer kernel computes in float.
_NO_COMPUTATION = frozenset(
    {
        "QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Shape",
        "Gather", "GatherND", "Concat", "Slice", "Split", "Expand", "Cast", "Range", "Constant", "ConstantOfShape",
        "Where", "And", "Or", "Not", "Equal", "Less", "Greater", "GreaterOrEqual", "LessOrEqual", "Identity", "Pad",
        "MaxPool", "NhwcMaxPool", "ReorderInput", "ReorderOutput", "Min", "Max",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What is known of one file.

    gates         outcomes as the manifest keeps them
    parity        agreement and accuracy on the trial samples; what could not be computed is absent
    products      every product of matrices in the graph that runs
    grids         product name -> (type of its data, of its weight, of its bias) in the file
    float_kernels other operators that compute in float: type -> how many
    copied_bytes  constants stored more than once
    """

    name: str
    made: Made
    artifact: Artifact
    gates: list[dict[str, Any]]
    bytes: int
    parity: dict[str, Any] = field(default_factory=dict)
    products: list[Product] = field(default_factory=list)
    grids: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    float_kernels: Counter[str] = field(default_factory=Counter)
    copied_bytes: int = 0

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [each for each in self.gates if not each["passed"]]


def judge(name: str, made: Made, artifact: Artifact, task: Task, names: Sequence[str], trial: Trial) -> Judged:
    """Run the gates on a file and gather its figures. A file that cannot run has failed gates and few figures."""
    outcomes = gates.run_all(artifact, made.gates)
    return Judged(
        name,
        made,
        artifact,
        outcomes,
        stored_bytes(artifact),
        _attempt(lambda: _parity(artifact, task, names, trial), {}),
        _attempt(lambda: products(artifact), []),
        _attempt(lambda: _grids(artifact), {}),
        _attempt(lambda: float_kernels(artifact), Counter()),
        _attempt(lambda: _copied_bytes(artifact), 0),
    )


def _attempt(compute: Callable[[], Figure], otherwise: Figure) -> Figure:
    """A figure, or nothing for a file onnxruntime cannot run: the gates have said why."""
    try:
        return compute()
    except Exception:  # onnxruntime's errors have no common base
        return otherwise


def _parity(artifact: Artifact, task: Task, names: Sequence[str], trial: Trial) -> dict[str, Any]:
    stages = {"torch": artifact.written, "file": artifact.plain, "optimized": artifact.optimized}
    pairs = [("torch", "torch", "file"), ("optimizer", "file", "optimized")]
    if artifact.as_written is not None:
        stages["trained"] = artifact.expected
        pairs.append(("fused", "trained", "optimized"))
    found: dict[str, Any] = {"samples": trial.n}
    if not all(np.isfinite(logits).all() for logits in stages.values()):
        return found
    scores = {
        stage: task.score(task.decode(logits), trial.labels, names, trial.owners).value
        for stage, logits in stages.items()
    }
    for title, one, other in pairs:
        found[f"{title}_same_answer"] = float(same_answer(stages[one], stages[other]).mean())
        found[f"{title}_cosine"] = cosine(stages[one], stages[other])
    return {**found, task.metric: {stage: float(value) for stage, value in scores.items()}}


def _grids(artifact: Artifact) -> dict[str, tuple[str, str, str]]:
    pairs = {str(node.name): _types(node) for node in graph.nodes(artifact.model, *graph.PRODUCTS)}
    kernels = {str(node.name): _kernel_types(node) for node in graph.nodes(artifact.model, *graph.KERNELS)}
    integers = {str(node.name): _integer_types(node) for node in graph.nodes(artifact.model, "MatMulInteger")}
    return pairs | kernels | integers


def _kernel_types(node: ir.Node) -> tuple[str, str, str]:
    at = graph.KERNELS[node.op_type]
    data, weight, scales = (graph.array(node.inputs[index]) for index in (at.data_zero, at.weight, at.weight_scale))
    assert data is not None and weight is not None and scales is not None
    return str(data.dtype), f"{weight.dtype}{' per channel' if scales.size > 1 else ''}", "float32 on int32 grid"


def _integer_types(node: ir.Node) -> tuple[str, str, str]:
    """Of a product of integers whose data got its range at run time; its bias is added in float."""
    weight = graph.array(node.inputs[1])
    kind = "integer" if weight is None else str(weight.dtype)
    return "uint8 at run time", kind, "float32"


def _types(node: Any) -> tuple[str, str, str]:
    data, weight = graph.dequantize_of(node.inputs[0]), graph.producer_of(node.inputs[1], "DequantizeLinear")
    slot = graph.bias_slot(node)
    bias = graph.stored_weight(slot[0].inputs[slot[1]]) if slot is not None else None
    grid = graph.grid(weight) if weight is not None else None
    read = f"float32, int8 in blocks of {grid.block} in the kernel" if grid is not None and grid.block else _type(data)
    return read, _type(weight), _type(bias) if slot is not None else "none"


def _type(source: Any) -> str:
    """Type of the integers behind a DequantizeLinear, with "per channel" where it has many scales."""
    if source is None:
        return "float32"
    grid = graph.grid(source)
    stored = graph.array(source.inputs[0])
    kind = str(stored.dtype if stored is not None else grid.zero_point.dtype if grid is not None else "integer")
    if grid is None or grid.axis is None or kind == "int32":
        return kind
    return f"{kind} in blocks of {grid.block}" if grid.block else f"{kind} per channel"


def float_kernels(artifact: Artifact) -> Counter[str]:
    """Operators beside the products that compute in float: type -> how many."""
    counts = Counter(node.op_type for node in graph.float_nodes(artifact.optimized_model))
    quiet = _NO_COMPUTATION | INTEGER_KERNELS | FLOAT_KERNELS
    return Counter({kind: n for kind, n in counts.items() if kind not in quiet and not kind.startswith("QLinear")})


def _copied_bytes(artifact: Artifact) -> int:
    seen: set[bytes] = set()
    copied = 0
    for value in artifact.model.graph.initializers.values():
        if value.const_value is None or value.const_value.nbytes < _NOTABLE_BYTES:
            continue
        if not value.const_value.numpy().any():
            continue  # zero points, which are alike by nature
        content = hashlib.sha256(value.const_value.tobytes()).digest()
        if content in seen:
            copied += value.const_value.nbytes
        seen.add(content)
    return copied
