"""Plots of a result as SVG text. Needs matplotlib (edgeft[report])."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from edgeft.evaluation.result import Result

# Told apart by people who do not see red and green alike (Okabe and Ito).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
_SIZE = (5.2, 3.4)


def all_plots(result: Result) -> list[tuple[str, str]]:
    """(SVG, caption) of each plot."""
    document, samples = result.document, result.samples()
    colours = dict(zip(document["variants"], COLOURS * len(document["variants"]), strict=False))
    return [
        (accuracy_latency(document, colours), "Accuracy against median latency. Bars: 95 % interval of the difference "
         "from the baseline, and p50 to p90."),
        (distributions(samples, colours), "Latency of all queries, none left out; the last 0.5 % share one bin."),
        (drift(document, colours), "Median of every block in the order it ran: variants take turns, so drift cancels."),
    ]  # fmt: skip


def accuracy_latency(document: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    figure, axes = _figure("median latency, ms", "accuracy, %")
    base = document["variants"][document["baseline"]]["accuracy"]["value"]
    for name, variant in document["variants"].items():
        x, y = 1000 * variant["latency"]["p50_s"], 100 * variant["accuracy"]["value"]
        slow = 1000 * variant["latency"].get("p90_s", variant["latency"]["p50_s"]) - x
        bounds = document["comparisons"].get(name, {}).get("accuracy", {}).get("ci95")
        errors = None if bounds is None else _bars(y, *(100 * (base + bound) for bound in bounds))
        axes.errorbar(
            [x], [y], xerr=[[0], [max(slow, 0)]], yerr=errors, fmt="o", color=colours[name], capsize=3, label=name
        )
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    return _svg(figure)


def _bars(y: float, low: float, high: float) -> list[list[float]]:
    """Error bars of an accuracy in per cent; the interval of a difference may reach beyond 0 and 100."""
    return [[max(y - max(low, 0.0), 0.0)], [max(min(high, 100.0) - y, 0.0)]]


def distributions(samples: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    figure, axes = _figure("latency of a query, ms", "share of queries")
    times = {name: samples[f"{name}/query_ns"] / 1e6 for name in colours}
    low = min(float(values.min()) for values in times.values())
    high = max(float(np.quantile(values, 0.995)) for values in times.values())
    edges = np.linspace(low, max(high, low * 1.01), 80)
    for name, values in times.items():
        weights = np.full(len(values), 1 / len(values))
        axes.hist(np.minimum(values, edges[-1]), edges, weights=weights, histtype="stepfilled", alpha=0.35,
                  color=colours[name], label=name)  # fmt: skip
    axes.legend(frameon=False)
    return _svg(figure)


def drift(document: Mapping[str, Any], colours: Mapping[str, str]) -> str:
    figure, axes = _figure("block in running order", "median latency, ms")
    for name, variant in document["variants"].items():
        blocks = variant["latency"]["blocks"]
        axes.plot([block["order"] for block in blocks], [1000 * block["p50_s"] for block in blocks], "o-", ms=3, lw=1,
                  color=colours[name], label=name)  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return _svg(figure)


def _figure(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "edgeft"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
