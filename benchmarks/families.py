"""What each family of models becomes: captured, folded, quantized, calibrated, trained one step, exported and judged.

    python -m benchmarks.families [NAME ...] [--page docs/families.md] [--json FILE]

Models are small and random (benchmarks/zoo.py); the structure of a graph, not its weights, decides what fuses. The
graphs have a free batch, and free sequence or time where the model allows it. --page writes the rows measured now
into the page and keeps its other rows.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.table import Row as Figure
from benchmarks.table import arguments, save, versions
from benchmarks.zoo import MEMBERS, OUTPUT, Example, Member
from edgeft.exporting import gates, passes, predict
from edgeft.exporting.gates.agreement import AgainstTorch, OffAgainstOn, cosine
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import Product, products
from edgeft.exporting.judge import float_kernels
from edgeft.exporting.trace import trace
from edgeft.exporting.write import write
from edgeft.quant import engine
from edgeft.quant.engine import QuantModel
from edgeft.scheme import S8S8, U8S8, Scheme

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
IR_VERSION = {20: 9, 21: 10}
# Parity is asked for to 0.995: in a random net a tie rounded the other way moves everything after it.
LEAST_COSINE = 0.995

# Why an operator is computed in float, by its type in the graph that runs.
WHY = {
    "LayerNormalization": "mean and variance of a row need more than 8 bits; onnxruntime has no integer kernel",
    "SkipLayerNormalization": "as LayerNormalization, with the sum before it, which onnxruntime fuses",
    "GatherElements": "moves float scores of relative positions (DeBERTa)",
    "InstanceNormalization": "group normalization: as LayerNormalization, over time",
    "Gelu": "onnxruntime has no integer kernel for it; the product before answers in float",
    "Tanh": "as Gelu; once, in the pooler",
    "Sigmoid": "of a linear layer's float answer (SiLU in token models): as Gelu",
    "HardSigmoid": "the gate of hard-swish: as Gelu; its product is an integer one",
    "Softmax": "the product before it answers in float, and no 8-bit grid holds both a mask of -3.4e38 and the scores",
    "Add": "of float answers (residual sums of token models), or puts a mask on the scores, or counts positions",
    "Where": "puts the mask on the scores, before a Softmax",
    "GlobalAveragePool": "of a float sum, once a model",
    "ReduceMean": "a mean over tokens or time, once a model; or of a response norm",
    "ReduceL2": "global response norm: one number a channel",
    "Div": "global response norm: one number a channel; or counts positions",
    "Log": "buckets of relative positions, computed from the length alone",
    "Ceil": "buckets of relative positions, computed from the length alone",
    "Mul": "of float answers (SiLU in token models, response norms), or buckets of relative positions",
    "Abs": "buckets of relative positions, computed from the length alone",
    "Sign": "buckets of relative positions, computed from the length alone",
}


@dataclass(frozen=True)
class Row:
    """What one member became.

    products       every product of the graph that runs
    float_kernels  other operators that compute in float: type -> how many
    left           operators the engine left float, with its reasons
    torch_cosine   torch (fake-quantized, after the training step) against the file as written
    ort_cosine     the file as written against the file optimized
    failed         gates that failed
    """

    member: Member
    products: list[Product]
    float_kernels: Counter[str]
    left: list[tuple[str, str]]
    torch_cosine: float
    ort_cosine: float
    free: tuple[str, ...]
    failed: list[dict[str, Any]]

    @property
    def integer(self) -> int:
        return sum(product.integer for product in self.products)


def quantize(example: Example, scheme: Scheme) -> QuantModel:
    """Build, calibrate, and train one step."""
    first = {name: tensor[:2] for name, tensor in example.batches[0].items()}
    built = engine.build(example.model, example.inputs, first, scheme)
    engine.calibrate(built, example.batches)
    optimizer = torch.optim.SGD([p for p in built.parameters() if p.requires_grad], lr=1e-3)
    torch.nn.functional.cross_entropy(built(**example.batches[0]), torch.arange(8)).backward()
    torch.nn.utils.clip_grad_norm_(built.parameters(), 1.0)
    optimizer.step()
    built.clamp()
    return built


def export(
    built: QuantModel, example: Example, folder: Path, scheme: Scheme
) -> tuple[Artifact, tuple[passes.Pass, ...]]:
    """The written file, ready to be judged on the example's batches, and the passes that made it."""
    output = OUTPUT
    if scheme.static_shapes:
        example, output = one_at_a_time(example), replace(OUTPUT, shape=(1, *OUTPUT.shape[1:]))
    with torch.no_grad():
        expected = torch.cat([built(**batch) for batch in example.batches]).numpy()
    predicted = predict.integer_bytes(built)
    built.set_mode("export")
    first = {name: tensor[:2] for name, tensor in example.batches[0].items()}
    graph = trace(built, example.inputs, output, first, scheme.opset)
    pipeline = passes.integer_pipeline(scheme, scheme.opset, IR_VERSION[scheme.opset])
    passes.run(graph, pipeline)
    path = write(graph, folder / "int8.onnx")
    batches = [{name: tensor.numpy() for name, tensor in batch.items()} for batch in example.batches]
    ids = [str(index) for index in range(len(expected))]
    options = {"session.qdqisint8allowed": "1"} if scheme is S8S8 else {}
    left = dict(built.float_nodes)
    return Artifact("int8", path, example.inputs, output, batches, ids, expected, predicted, left, options), pipeline


def one_at_a_time(example: Example) -> Example:
    """The example as a target with fixed sizes is fed: single rows of the first batch's shape."""
    sizes = {name: tensor.shape[1:] for name, tensor in example.batches[0].items()}
    alike = [batch for batch in example.batches if {n: t.shape[1:] for n, t in batch.items()} == sizes]
    rows = [
        dict(zip(batch, tensors, strict=True))
        for batch in alike
        for tensors in zip(*(tensor.split(1) for tensor in batch.values()), strict=True)
    ]
    fixed = tuple(replace(spec, shape=(1, *sizes[spec.name])) for spec in example.inputs)
    return replace(example, inputs=fixed, batches=rows)


def failures(artifact: Artifact, pipeline: Iterable[passes.Pass], scheme: Scheme) -> list[dict[str, Any]]:
    """Gates that fail; of parity the cosine alone is asked, since the answers of random nets are near ties."""
    near = (AgainstTorch(LEAST_COSINE, least_same=0), OffAgainstOn(LEAST_COSINE, least_same=0))
    exact = [gate for gate in gates.integer_gates(tuple(pipeline), scheme) if type(gate) not in map(type, near)]
    return [outcome for outcome in gates.run_all(artifact, [*exact, *near]) if not outcome["passed"]]


def measure(member: Member, folder: Path, scheme: Scheme = U8S8) -> Row:
    example = member.make()
    built = quantize(example, scheme)
    artifact, pipeline = export(built, example, folder, scheme)
    free = dict.fromkeys(size for spec in example.inputs for size in spec.shape if isinstance(size, str))
    return Row(
        member,
        products(artifact),
        float_kernels(artifact),
        built.float_nodes,
        cosine(artifact.expected, artifact.plain),
        cosine(artifact.plain, artifact.optimized),
        tuple(free),
        failures(artifact, pipeline, scheme),
    )


# --- the page ---

_HEAD = (
    "| family | model | products integer / all | other float operators | torch, file | file, optimized | free |",
    "|---|---|---|---|---|---|---|",
)
_TEXT = """# Families

Small random models of each family, captured, folded, quantized for `u8s8` (uint8 activations, int8 weights per
channel), calibrated, trained one step, exported and judged by every gate, with onnxruntime on its CPU provider.
Written by `python -m benchmarks.families --page docs/families.md`; a test measures one member of each family again and
fails when its integer products are fewer than here.

*Products* are Conv, Gemm, MatMul and attention kernels in the graph that onnxruntime runs; an attention kernel takes in
the linear layers of query, key and value, and keeps scores and weighted sums in float (docs/decisions/011).
*Other float operators* are counted in the same graph, without moves and conversions. The two cosines are of all logits:
the fake-quantized torch model against the file as written, and the file as written against the file optimized; random
nets are chaotic (a tie rounded the other way moves everything after it), trained ones come closer. *Free* are the sizes
that the file leaves open.

{table}

Measured with {versions}.

## What stays float, and why

{reasons}

## What the engine does to reach this

- What depends on no input is computed once: relative position biases read by a fixed index, projections of a fixed
  embedding, masks of shifted windows, weight normalization.
- Masks that mask nothing, which transformers adds when it is called without one, are taken out.
- BatchNorm, layer scale, no-norm and 1/sqrt(d) go into the weights of the product before them.
- SiLU is x * sigmoid(x), hard-swish x * hardsigmoid(x), a hard sigmoid behind a product a clip that the grid does.
- Pools to one value are GlobalAveragePool; zero pads go into the convolution, or move integers.
- Rolls, slices, gathers and repeats move integers, and so do the rows of embedding tables.
- Constants in sums and products have a grid of their own.
- Attention with no bias but padding is one kernel; else a mask and what follows it up to the softmax stays
  float (`edgeft/quant/marks.py`).
- What a product of a token model answers stays float where no product reads it (docs/decisions/005).
"""


def cells(row: Row) -> str:
    others = ", ".join(f"{count} {kind}" for kind, count in sorted(row.float_kernels.items())) or "none"
    return (
        f"| {row.member.family} | {row.member.title} | {row.integer} / {len(row.products)} | {others} "
        f"| {row.torch_cosine:.5f} | {row.ort_cosine:.5f} | {', '.join(row.free)} |"
    )


def read_page(page: Path = PAGE) -> dict[str, str]:
    """The rows of the page by model."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    return {line.split("|")[2].strip(): line for line in lines if re.match(r"\| .* \| \d+ / \d+ \|", line)}


def integer_of(line: str) -> tuple[int, int]:
    """(integer, all) products of a row of the page."""
    integer, _, every = line.split("|")[3].partition("/")
    return int(integer), int(every)


def write_page(rows: Iterable[Row], page: Path) -> None:
    known = {**read_page(page), **{row.member.title: cells(row) for row in rows}}
    lines = [known[member.title] for member in MEMBERS.values() if member.title in known]
    kinds = sorted(set(re.findall(r"\d+ ([A-Za-z]\w*)", " ".join(line.split("|")[4] for line in lines))))
    text = _TEXT.format(
        table="\n".join([*_HEAD, *lines]),
        versions=", ".join(f"{name} {number}" for name, number in versions().items() if name in _NAMED),
        reasons="\n".join(["| operator | why |", "|---|---|", *(f"| {kind} | {WHY[kind]} |" for kind in kinds)]),
    )
    page.write_text(text, encoding="utf-8")


_NAMED = ("torch", "transformers", "onnxruntime")


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"members, by default all: {', '.join(MEMBERS)}")
    parser.add_argument("--page", type=Path, help="write the rows into this page")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.names or MEMBERS:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(MEMBERS[name], Path(folder))
        print(cells(row), flush=True)
        for each in (f"  left float: {node}: {why}" for node, why in row.left):
            print(each)
        for each in (f"  gate failed: {gate['gate']}: {gate['evidence']}" for gate in row.failed):
            print(each)
        rows.append(row)
    if options.page:
        write_page(rows, options.page)
    figures = [
        figure
        for row in rows
        for figure in (
            Figure("edgeft", row.member.title, "integer products", row.integer, "", row.integer / len(row.products)),
            Figure("edgeft", row.member.title, "cosine torch, file", row.torch_cosine, ""),
            Figure("edgeft", row.member.title, "cosine file, optimized", row.ort_cosine, ""),
        )
    ]
    save("families", figures, options.json)


if __name__ == "__main__":
    main()
