"""report.md: the same words as tables for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgeft.evaluation.result import Result
from edgeft.report import confusion, figures, plots, words
from edgeft.report.budget_words import budget_lines

_ENERGY = "energy an example"
_HEAD = (
    "variant", "accuracy", "difference, points [95 %]", "verdict", "same answer", "p50 ms", "p90 ms",
    "speedup [95 %]", _ENERGY, "size MB", "peak memory MB",
)  # fmt: skip

METHOD = (
    "p50 is the median; p90 and above are MLPerf's early-stopping estimates, upper bounds at 99 % confidence. "
    "Intervals are 95 %: Agresti-Min on paired answers, Student's t on log ratios of alternating blocks, bootstrap for "
    "F1, macro-F1 and for ratios of p90 and p99."
)


def columns(document: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(head, lines) of the main table; energy has a column only when it was measured."""
    rows = words.rows(document)
    measured = any(row.energy != words.ABSENT for row in rows)
    kept = [i for i, name in enumerate(_HEAD) if measured or name != _ENERGY]
    named = (_HEAD[0], words.metric(document), *_HEAD[2:])
    head, *lines = (tuple(line[i] for i in kept) for line in (named, *map(_cells, rows)))
    return head, lines


def _cells(row: words.Row) -> tuple[str, ...]:
    speedup = row.speedup if row.speed_interval == words.ABSENT else f"{row.speedup} {row.speed_interval}"
    return (
        f"{row.name} (!)" if row.flagged else row.name, row.accuracy, row.difference, row.verdict, row.agreement,
        row.p50, row.p90, speedup, row.energy, row.size, row.memory,
    )  # fmt: skip


def render(result: Result) -> str:
    document = result.document
    parts = [
        f"# {document['data']['name']} on {document['system'].get('cpu_model', document['profile']['title'])}",
        table(*columns(document)),
        words.marked(document),
        f"Energy {words.energy_line(document)}." if words.energy_line(document) else "",
        section("Meters that did not measure", words.meters_tried(document)),
        METHOD,
        section("Claims", map(words.claim_line, document["claims"])),
        section(
            "Flags" if document["validity"]["valid"] else "Flags: NOT VALID",
            map(words.flag_line, document["validity"]["flags"]),
        ),
        section("Budget", budget_lines(document)),
        _slices(document),
        "## Conditions\n\n" + table(("condition", "value"), words.conditions(document)),
        "## All figures\n\n" + table(("figure", *document["variants"]), figures.rows(document)),
        f"Pareto front of {words.metric(document)} and median latency: {', '.join(plots.pareto(document))}.",
        *what_changed(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _slices(document: Mapping[str, Any]) -> str:
    found = words.slices(document)
    return "## Right answers by slice\n\n" + table(("slice", "right [95 %], change in points"), found) if found else ""


def what_changed(result: Result) -> Iterator[str]:
    """Per variant: classes, confusions and samples that changed most."""
    document, samples, told = result.document, result.samples(), result.changed().get("variants", {})
    for name in document["comparisons"]:
        classes = [one for one in plots.recall_changes(document, name) if one[1]]
        moved = confusion.change(samples, document["baseline"], name, document["data"].get("labels", ()))
        shown = told.get(name, {}).get("samples", [])
        if not classes and not moved and not shown:
            continue
        yield f"## What {name} answers otherwise than {document['baseline']}"
        if classes:
            some = classes if len(classes) <= 15 else [*classes[:10], *classes[-5:]]
            lines = [(label, str(n), words.percent(before), f"{change:+.2f}") for label, change, n, before in some]
            yield table(("class", "samples", "recall before", "change, points"), lines)
        if moved:
            cells_ = [(right, answer, f"{count:+d}") for right, answer, count in confusion.largest(moved)]
            yield f"{moved.moved} answers moved; the largest changes of the confusion matrix:"
            yield table(("right label", "answer", "change"), cells_)
        if shown:
            yield f"Samples whose answer changed ({len(shown)} of {told[name]['n']}, the largest loss first):"
            head = ("sample", "right label", document["baseline"], name, "score of the right label")
            yield table(head, map(_sentence if "tokens" in shown[0] else _sample, shown))


def _sample(one: Mapping[str, Any]) -> tuple[str, ...]:
    text = f": {one['text']}" if "text" in one else ""
    score = f"{words.percent(one['score_before'])} to {words.percent(one['score_after'])}"
    return f"{one['id']}{text}", one["label"], one["before"], one["after"], score


def _sentence(one: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a changed sentence that have a tag anywhere, each with its tag."""
    columns = (_tagged(one, key) for key in ("tags", "before", "after"))
    score = f"{words.percent(one['score_before'])} to {words.percent(one['score_after'])}"
    return f"{one['id']}: {' '.join(one['tokens'])}", *columns, score


def _tagged(one: Mapping[str, Any], key: str) -> str:
    """ "New (B-place) York (I-place)"; words without a tag are left out."""
    pairs = zip(one["tokens"], one[key], strict=True)
    return " ".join(f"{word} ({tag})" for word, tag in pairs if tag != "O") or words.ABSENT


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *escaped])


def section(title: str, lines: Iterable[str]) -> str:
    body = [f"- {line}" for line in lines]
    return "\n".join([f"## {title}", "", *body]) if body else ""
