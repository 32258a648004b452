"""A budget in words: what each limit came to, and the variant that wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeft.evaluation.limits import held_text


def budget_lines(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for line in document.get("budget", []):
        held = held_text(line["text"], line)
        lines.append(f"{'pass' if line['passed'] else 'MISS'}  {line['text']}  {line['variant']} has {held}")
    if lines:
        winner = document.get("winner")
        lines.append(f"winner: {winner}{_chosen(document)}" if winner else "no variant keeps the whole budget")
    return lines


def _chosen(document: Mapping[str, Any]) -> str:
    """The best of several is better by chance, too, on the samples it was chosen by (the winner's curse)."""
    able = [name for name in document["comparisons"]
            if all(line["by_variant"].get(name, line)["passed"] for line in document["budget"])]  # fmt: skip
    if len(able) < 2 or document["winner"] not in able:
        return ""
    return (
        f", chosen among {', '.join(able)} by these same figures, which flatters it a little; before quoting its "
        f"speed, measure it again: --variants {document['baseline']},{document['winner']} --seed {document['seed'] + 1}"
    )
