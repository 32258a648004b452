"""export.md, the truth report: what every product really computes in, what stayed float and why, sizes, parity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgeft.exporting.costs import costs_section
from edgeft.exporting.graph import PACKED_ATTENTION
from edgeft.exporting.judge import Judged
from edgeft.exporting.table import table
from edgeft.exporting.variants import FLOAT16, FLOAT32

_PLACES = 4
FLOATS = (FLOAT32, FLOAT16)


def write_report(document: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    """Markdown, written to be read by a person."""
    parts = [_head(document, judged), _files(judged), _checks(judged), _accuracy(document, judged)]
    parts.append(costs_section(document.get("sensitivity", {})))
    integer = [each for each in judged if each.made.scheme not in FLOATS]
    parts += [_products(each, integer[:index]) for index, each in enumerate(integer)]
    parts.append(_warnings(judged))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(document: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    failed = [each.name for each in judged if each.failed]
    verdict = f"**Checks failed for {', '.join(failed)}**, see below." if failed else "All checks passed."
    return "\n\n".join(
        [
            "# Export report",
            f"{document['task']} with {len(document['labels'])} labels, for {document['profile']['title']} "
            f"(scheme {document['scheme']}), written {document['created_utc']} by edgeft {document['edgeft']}.",
            verdict,
            f"`original` is {document['original_is']}.",
        ]
    )


def _files(judged: Sequence[Judged]) -> str:
    largest = max(each.bytes for each in judged)
    rows = [
        [
            f"{each.name}.onnx", each.made.title, f"{each.bytes:,}", f"{each.bytes / largest:.0%}",
            str(each.artifact.model.opset_imports.get("")), str(each.artifact.model.ir_version), _coverage(each),
        ]
        for each in judged
    ]  # fmt: skip
    return "## Files\n\n" + table(
        ["file", "what it is", "bytes", "of the largest", "opset", "IR", "integer products"], rows
    )


def _coverage(each: Judged) -> str:
    return f"{sum(product.integer for product in each.products)} of {len(each.products)}"


def _checks(judged: Sequence[Judged]) -> str:
    rows = [
        [each.name, outcome["gate"], "passed" if outcome["passed"] else "**failed**", outcome["evidence"]]
        for each in judged
        for outcome in each.gates
    ]
    return "## Checks on the files\n\n" + table(["variant", "check", "verdict", "evidence"], rows)


def _accuracy(document: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    """Accuracy after every transformation, so that a loss can be laid at the right door."""
    metric = document["metric"]
    rows = []
    for each in judged:
        values = each.parity.get(metric)
        if values:
            figures = [f"{values[stage]:.{_PLACES}f}" for stage in ("torch", "file", "optimized")]
            same = [f"{each.parity[f'{pair}_same_answer']:.2%}" for pair in ("torch", "optimizer")]
            rows.append([each.name, figures[0], figures[1], figures[2], *same])
    if not rows:
        return ""
    kernels = [
        f"Kernels of {each.name} round data in blocks, which the file does not say: rounded so in torch "
        f"{each.parity[metric]['trained']:.{_PLACES}f}, same answer {each.parity['fused_same_answer']:.2%}."
        for each in judged
        if "trained" in each.parity.get(metric, {})
    ]
    n = next(each.parity["samples"] for each in judged if metric in each.parity)
    parts = [
        f"## {metric.capitalize()} after every step",
        f"On {n} held-out examples; `edgeft eval` measures all of them on the device.",
        table(["variant", "in torch", "file, optimizer off", "file, optimizer on", "torch = file", "off = on"], rows),
        *kernels,
    ]
    scores = document["provenance"]["scores"]
    if scores:
        tuned = [
            [name, *(f"{found[split]['value']:.{_PLACES}f}" for split in ("validation", "test"))]
            for name, found in scores.items()
        ]
        parts += ["While tuning, on whole splits:", table(["model", "validation", "test"], tuned)]
    return "\n\n".join(parts)


def _products(each: Judged, before: Sequence[Judged]) -> str:
    same = next((other.name for other in before if other.products == each.products and other.grids == each.grids), "")
    if same:
        return f"## What {each.name} computes in\n\nThe same as {same}, node by node."
    kinds = Counter((p.op, p.kernel, *each.grids.get(p.name, ("?", "?", "?"))) for p in each.products)
    summary = [[*kind, str(count)] for kind, count in kinds.items()]
    parts = [
        f"## What {each.name} computes in",
        "Every product of matrices, as onnxruntime runs it after its own optimization:",
        table(["operator", "kernel", "data", "weight or second factor", "bias", "how many"], summary),
    ]
    left = [[p.name, p.op, p.reason] for p in each.products if not p.integer]
    if left:
        parts += ["Products that stayed float:", table(["node", "operator", "why"], left)]
    else:
        parts.append("No product stayed float.")
    if any(p.kernel == PACKED_ATTENTION for p in each.products):
        parts.append(
            f"{PACKED_ATTENTION} multiplies by the weights of query, key and value in integers; "
            "its scores and weighted sums are float, as they were in training."
        )
    if each.made.kept:
        kept = [[name, why] for name, why in each.made.kept.items()]
        parts += ["Layers kept off 8-bit grids by choice:", table(["layer", "why"], kept)]
    if each.float_kernels:
        others = ", ".join(f"{count} {kind}" for kind, count in sorted(each.float_kernels.items()))
        parts.append(f"Other operators compute in float, as onnxruntime has no integer kernel that fits: {others}.")
    named = [[p.name, p.kernel, *each.grids.get(p.name, ("?", "?", "?"))] for p in each.products]
    parts += ["Node by node:", table(["node", "kernel", "data", "weight or second factor", "bias"], named)]
    return "\n\n".join(parts)


def _warnings(judged: Sequence[Judged]) -> str:
    lines = [f"- {each.name}: {warning}" for each in judged for warning in warnings(each)]
    return "## Warnings\n\n" + ("\n".join(lines) if lines else "None.")


def warnings(each: Judged) -> list[str]:
    """What a person should know and no check fails for."""
    found = []
    if each.copied_bytes:
        found.append(
            f"{each.copied_bytes:,} bytes are constants stored more than once: the model uses one weight in several "
            "places, and a quantized one needs a copy for each, since its scale and bias belong to the place"
            if each.made.scheme not in FLOATS
            else f"{each.copied_bytes:,} bytes are constants stored more than once"
        )
    left = [product for product in each.products if not product.integer]
    if each.made.scheme not in FLOATS and left:
        found.append(f"{len(left)} products run in float: {', '.join(product.name for product in left[:5])}")
    if each.made.scheme == FLOAT16:
        found.append("checked with CPU kernels, which read float16 and compute in float32; GPUs compute in float16")
        reasons = "; ".join(f"{name}: {why}" for name, why in list(each.made.float_nodes.items())[:5])
        found += [f"{len(each.made.float_nodes)} operators stay float32 ({reasons})"] if reasons else []
    return found
