"""The charts of a report, each as (SVG, caption)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation.result import Result
from edgeft.report import words
from edgeft.report.svg import SERIES, Chart

Drawn = tuple[str, str]
_BINS, _KEPT = 90, 0.99
# Rows of a chart of classes: the largest falls, then the largest rises.
_FALLS, _RISES = 10, 5


def all_plots(result: Result) -> Iterator[Drawn]:
    document = result.document
    yield accuracy_latency(document)
    yield distributions(document, result.samples())
    yield drift(document)
    if any("gross_j" in variant["energy"] for variant in document["variants"].values()):
        yield energy(document)


def pareto(document: Mapping[str, Any]) -> list[str]:
    """Variants that no other one beats in both accuracy and median latency, the fastest first."""
    at = {
        name: (variant["latency"]["p50_s"], -variant["accuracy"]["value"])
        for name, variant in document["variants"].items()
    }
    return sorted(
        (name for name, one in at.items()
         if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in at.values())),
        key=lambda name: at[name],
    )  # fmt: skip


def accuracy_latency(document: Mapping[str, Any]) -> Drawn:
    base = document["variants"][document["baseline"]]["accuracy"]["value"]
    spots = {name: _spot(name, variant, document, base) for name, variant in document["variants"].items()}
    margins = [c["accuracy"]["margin"] for c in document["comparisons"].values()]
    limit = 100 * (base - margins[0]) if margins else 100 * base
    lows, highs = [spot[2] for spot in spots.values()] + [limit], [spot[3] for spot in spots.values()]
    room = max(0.12 * (max(highs) - min(lows)), 0.2)
    y = (max(min(lows) - room, 0.0), min(max(highs) + room, 100.0 + 0.4 * room))
    right = 1.08 * max(max(spot[0], spot[4]) for spot in spots.values())
    chart = Chart((0.0, right), y, "median latency, ms", f"{words.metric(document)}, %")
    chart.line([(chart.x.start, chart.y.at(limit)), (chart.x.end, chart.y.at(limit))], "limit")
    front = pareto(document)
    chart.line([(chart.x.at(spots[name][0]), chart.y.at(spots[name][1])) for name in front], "front")
    for series, (name, (p50, value, low, high, p90)) in enumerate(spots.items()):
        kind, x, y_ = f"s{series % SERIES} whisker", chart.x.at(p50), chart.y.at(value)
        chart.line([(x, chart.y.at(low)), (x, chart.y.at(high))], kind)
        chart.line([(x, y_), (chart.x.at(p90), y_)], kind)
        chart.mark(x, y_, series, name in front, f"{name}: {value:.2f} %, {p50:.3g} ms")
    caption = (
        f"Accuracy against median latency. Upright bars: 95 % interval of the difference from {document['baseline']}; "
        f"lying bars: p50 to p90; filled marks and the thick line: the Pareto front ({', '.join(front)}); dotted: the "
        "margin for “not worse”. Marks are estimates: where bars overlap, which one is ahead may be chance."
    )
    return chart.svg(f"{words.metric(document)} against latency"), caption


def _spot(name: str, variant: Mapping[str, Any], document: Mapping[str, Any], base: float) -> tuple[float, ...]:
    """(p50 ms, accuracy %, its low and high, p90 ms); an interval reaches neither below 0 nor beyond 100."""
    times, value = variant["latency"], 100 * variant["accuracy"]["value"]
    bounds = document["comparisons"].get(name, {}).get("accuracy", {}).get("ci95", [value / 100 - base] * 2)
    low, high = (min(max(100 * (base + bound), 0.0), 100.0) for bound in bounds)
    p50 = 1000 * times["p50_s"]
    return p50, value, min(low, value), max(high, value), max(1000 * times.get("p90_s", 0.0), p50)


def distributions(document: Mapping[str, Any], samples: Mapping[str, NDArray[Any]]) -> Drawn:
    """One row a variant over one time axis; each is drawn to the height of its own peak."""
    names = list(document["variants"])
    times = {name: samples[f"{name}/query_ns"] / 1e6 for name in names}
    low = min(float(values.min()) for values in times.values())
    high = max(float(np.quantile(values, _KEPT)) for values in times.values())
    row = 66
    chart = Chart((low, high), (0, 1), "latency of a query, ms", "", (460, 62 + row * len(names)), 14, y_ticks=False)
    edges = np.linspace(chart.x.low, chart.x.high, _BINS + 1)
    for series, name in enumerate(names):
        floor = 12 + row * (series + 1) - 4
        _ridge(chart, times[name], edges, floor, row - 22, series)
        variant = document["variants"][name]["latency"]
        for share, kind in (("p50_s", "mid"), ("p90_s", "tail")):
            if share in variant and 1000 * variant[share] <= high:
                x = chart.x.at(1000 * variant[share])
                chart.line([(x, floor), (x, floor - row + 20)], f"s{series % SERIES} {kind}")
        chart.text(chart.x.end, floor - row + 18, name, "label", "end")
    caption = (
        "How long queries took, one row a variant, each to the height of its own peak. Solid: median; dashed: p90. "
        f"None is left out of the figures; the slowest {1 - _KEPT:.0%} lie right of the picture. The axis "
        "begins at the fastest query, not at 0."
    )
    return chart.svg("latency distributions"), caption


def _ridge(chart: Chart, values: NDArray[Any], edges: NDArray[Any], floor: float, height: float, series: int) -> None:
    counts, _ = np.histogram(values, edges)
    tall = counts / max(int(counts.max()), 1)
    outline = [(chart.x.at(edges[0]), floor)]
    for i, share in enumerate(tall):
        y = round(floor - share * height, 1)
        outline += [(chart.x.at(edges[i]), y), (chart.x.at(edges[i + 1]), y)]
    chart.area([*outline, (chart.x.at(edges[-1]), floor)], f"s{series % SERIES} ridge")


def drift(document: Mapping[str, Any]) -> Drawn:
    """Median of each block, in per cent of the median of the variant's blocks."""
    lines = {}
    for name, variant in document["variants"].items():
        blocks = variant["latency"]["blocks"]
        middle = float(np.median([block["p50_s"] for block in blocks]))
        lines[name] = [(block["order"], 100 * (block["p50_s"] / middle - 1)) for block in blocks]
    values = [change for points in lines.values() for _, change in points]
    reach = max(2.0, 1.1 * max(abs(value) for value in values))
    last = max(order for points in lines.values() for order, _ in points)
    chart = Chart((-0.5, max(last, 1) + 0.5), (-reach, reach), "block, in the order they ran", "block median, % off")
    chart.line([(chart.x.start, chart.y.at(0)), (chart.x.end, chart.y.at(0))], "axis")
    for series, (name, points) in enumerate(lines.items()):
        chart.line([(chart.x.at(x), chart.y.at(y)) for x, y in points], f"s{series % SERIES} trace")
        for x, y in points:
            chart.mark(chart.x.at(x), chart.y.at(y), series, True, f"{name}, block {x}: {y:+.2f} %")
    caption = (
        "Drift: median of every block against the variant's own. Variants take turns, so what moves all of them alike "
        "cancels in the ratios."
    )
    return chart.svg("block by block"), caption


def energy(document: Mapping[str, Any]) -> Drawn:
    parts = {name: variant["energy"] for name, variant in document["variants"].items()}
    found = {name: part for name, part in parts.items() if "gross_j" in part}
    bounds = {name: entry.get("gross_ci95", [entry["gross_j"]] * 2) for name, entry in found.items()}
    largest = 1000 * max(high for _, high in bounds.values())
    row = 44
    chart = Chart((0, 1.02 * largest), (0, 1), "energy of an inference, mJ", "", (460, 62 + row * len(found)), 14,
                  y_ticks=False)  # fmt: skip
    for i, (name, entry) in enumerate(found.items()):
        series, top = list(document["variants"]).index(name) % SERIES, 14 + row * i
        said = "" if entry["status"] == "measured" else f" ({entry['status']})"
        chart.text(chart.x.start, top + 10, f"{name}: {1000 * entry['gross_j']:.3g} mJ{said}", "label")
        chart.bar(chart.x.at(0), chart.x.at(1000 * entry["gross_j"]), top + 15, 16, f"s{series} ridge")
        if entry.get("net_j", 0) > 0:
            chart.bar(chart.x.at(0), chart.x.at(1000 * entry["net_j"]), top + 15, 16, f"s{series} full")
        low, high = (chart.x.at(1000 * max(bound, 0.0)) for bound in bounds[name])
        chart.line([(low, top + 23), (high, top + 23)], "bound")
        for end in (low, high) if high > low else ():
            chart.line([(end, top + 19), (end, top + 27)], "bound")
    covered = ", ".join(sorted({f"{entry['coverage']} ({entry['status']})" for entry in found.values()}))
    return chart.svg("energy"), f"Energy of {covered}: whole bar gross, dark part net of idle, capped " \
        "line the 95 % interval of gross over blocks."  # fmt: skip


def recall_change(document: Mapping[str, Any], name: str) -> Drawn | None:
    """Change of each class's recall in points, for the classes that changed most; None when none did."""
    changes = recall_changes(document, name)
    shown = [one for one in changes if one[1] < 0][:_FALLS] + [one for one in changes if one[1] > 0][-_RISES:]
    if not shown:
        return None
    reach = 1.05 * max(abs(change) for _, change, _, _ in shown)
    row = 20
    chart = Chart((-reach, reach), (0, 1), "change of recall, points", "", (460, 60 + row * len(shown)), 150,
                  y_ticks=False)  # fmt: skip
    for i, (label, change, n, _) in enumerate(shown):
        top = 14 + row * i
        chart.text(144, top + 12, f"({n}) {label}", "tick", "end", most=24)
        chart.bar(chart.x.at(0), chart.x.at(change), top + 2, row - 6, "fall" if change < 0 else "rise")
    chart.line([(chart.x.at(0), chart.y.start), (chart.x.at(0), chart.y.end)], "axis")
    left = len([one for one in changes if one[1]]) - len(shown)
    more = f" {left} more classes changed less." if left else ""
    return chart.svg(f"recall by class, {name}"), f"Recall of each class against {document['baseline']}, its " \
        f"samples in brackets. One of many comparisons: explore, do not conclude.{more}"  # fmt: skip


def recall_changes(document: Mapping[str, Any], name: str) -> Sequence[tuple[str, float, int, float]]:
    """(label, change of recall in points, samples, recall of the baseline), the largest fall first."""
    before = document["variants"][document["baseline"]]["accuracy"]["per_class"]
    after = document["variants"][name]["accuracy"]["per_class"]
    found = [
        (label, 100 * (after[label]["recall"] - row["recall"]), int(row["n"]), row["recall"])
        for label, row in before.items()
        if "recall" in row and "recall" in after.get(label, {})
    ]
    return sorted(found, key=lambda one: one[1])


def legend_names(document: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """(series, name, words) of every variant, for a legend."""
    variants = enumerate(document["variants"].items())
    return [(series, name, words.percent(one["accuracy"]["value"])) for series, (name, one) in variants]
