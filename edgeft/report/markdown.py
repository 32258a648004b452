"""report.md: the same words as tables for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeft.evaluation.result import Result
from edgeft.report import words

HEAD = (
    "variant", "accuracy", "difference, points [95 %]", "verdict", "same answer", "p50 ms", "p90 ms",
    "speedup [95 %]", "J / inference", "size MB", "peak memory MB",
)  # fmt: skip


def cells(row: words.Row) -> tuple[str, ...]:
    speedup = row.speedup if row.speed_interval == words.ABSENT else f"{row.speedup} {row.speed_interval}"
    return (
        f"{row.name} (!)" if row.flagged else row.name, row.accuracy, row.difference, row.verdict, row.agreement,
        row.p50, row.p90, speedup, row.energy, row.size, row.memory,
    )  # fmt: skip


def render(result: Result) -> str:
    document = result.document
    parts = [
        f"# {document['data']['name']} on {document['system'].get('cpu_model', document['profile']['title'])}",
        table(HEAD, [cells(row) for row in words.rows(document)]),
        f"Energy {words.energy_line(document)}." if words.energy_line(document) else "",
        "p50 is the median; p90 is MLPerf's early-stopping estimate, an upper bound at 99 % confidence. "
        "Intervals are 95 %: Agresti-Min on paired answers, Student's t on log ratios of alternating blocks.",
        section("Claims", map(words.claim_line, document["claims"])),
        section(
            "Flags" if document["validity"]["valid"] else "Flags: NOT VALID",
            map(words.flag_line, document["validity"]["flags"]),
        ),
        section("Budget", words.budget_lines(document)),
        section("Conditions", (f"{name}: {text}" for name, text in words.conditions(document))),
        section("Variants", (f"{name}: {text}" for name, text in words.details(document))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *escaped])


def section(title: str, lines: Iterable[str]) -> str:
    body = [f"- {line}" for line in lines]
    return "\n".join([f"## {title}", "", *body]) if body else ""
