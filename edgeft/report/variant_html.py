"""What each variant answers otherwise than the baseline, as HTML: classes, confusions, the samples themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import numpy as np

from edgeft.evaluation.result import Result
from edgeft.report import plots, words
from edgeft.report.confusion import Change, change


def what_changed(result: Result) -> Iterator[str]:
    document, samples, told = result.document, result.samples(), result.changed().get("variants", {})
    for name in document["comparisons"]:
        moved = change(samples, document["baseline"], name, document["data"].get("labels", ()))
        drawn = plots.recall_change(document, name)
        parts = [
            f"<figure>{drawn[0]}<figcaption>{escape(drawn[1])}</figcaption></figure>" if drawn else "",
            _confusion(moved) if moved else "",
        ]
        yield f"<h2>What {escape(name)} answers otherwise than {escape(document['baseline'])}</h2>"
        if not drawn and not moved and not told.get(name, {}).get("n"):
            yield "<p>Nothing: every answer is the same.</p>"
            continue
        yield f'<div class="plots">{"".join(parts)}</div>'
        if told.get(name):
            yield _gallery(told[name], document["baseline"], name)


def _confusion(moved: Change) -> str:
    most = max(int(np.abs(moved.counts).max()), 1)
    head = "".join(f"<th>{escape(label)}</th>" for label in moved.labels)
    body = "".join(
        f"<tr><td>{escape(label)}</td>{''.join(_cell(int(value), i == j, most) for j, value in enumerate(row))}</tr>"
        for i, (label, row) in enumerate(zip(moved.labels, moved.counts, strict=True))
    )
    more = f" {moved.left_out} more labels moved less and are left out." if moved.left_out else ""
    table = f'<table class="confusion"><tr><th>right \\ answer</th>{head}</tr>{body}</table>'
    return (
        f'<figure><div class="wide">{table}</div>'
        f"<figcaption>Confusion change: how many answers each cell gained or lost; {moved.moved} answers moved. "
        f"Blue: for the better; orange: for the worse.{more}</figcaption></figure>"
    )


def _cell(value: int, right: bool, most: int) -> str:
    if value == 0:
        return "<td></td>"
    share = 15 + round(55 * abs(value) / most)
    return f'<td class="{"better" if (value > 0) == right else "worse"}" style="--much:{share}%">{value:+d}</td>'


def _gallery(told: Mapping[str, Any], baseline: str, name: str) -> str:
    shown = told["samples"]
    if not shown:
        return ""
    count = "all" if len(shown) == told["n"] else f"{len(shown)} of {told['n']}"
    cards = "".join(_card(one, baseline, name) for one in shown)
    return (
        f"<h3>Samples whose answer changed ({count}, the largest loss of the right answer first)</h3>"
        f'<div class="cards">{cards}</div>'
    )


def _card(one: Mapping[str, Any], baseline: str, name: str) -> str:
    if "tokens" in one:
        return _sentence(one, baseline, name)
    answers = "".join(
        f'<p>{escape(who)}: <span class="{"ok" if answer == one["label"] else "no"}">{escape(answer)}</span></p>'
        for who, answer in ((baseline, one["before"]), (name, one["after"]))
    )
    score = f"{words.percent(one['score_before'])} to {words.percent(one['score_after'])}"
    about = (
        f"<div><p>right: <b>{escape(one['label'])}</b></p>{answers}<p>its score: {score}</p>"
        f'<p class="id">{escape(one["id"])}</p></div>'
    )
    if "text" in one:
        return f'<div class="card text"><blockquote>{escape(one["text"])}</blockquote>{about}</div>'
    picture = f'<img alt="" src="{escape(one["picture"])}">' if "picture" in one else ""
    return f'<div class="card">{picture}{about}</div>'


def _sentence(one: Mapping[str, Any], baseline: str, name: str) -> str:
    """The words of a sentence; below each that has a tag anywhere, what is right and what both variants say."""
    rows = zip(one["tokens"], one["tags"], one["before"], one["after"], strict=True)
    words_ = " ".join(_word(*row) for row in rows)
    score = f"{words.percent(one['score_before'])} to {words.percent(one['score_after'])}"
    about = (
        f"<div><p>below the words: right, {escape(baseline)}, {escape(name)}</p>"
        f'<p>score of the right tags: {score}</p><p class="id">{escape(one["id"])}</p></div>'
    )
    return f'<div class="card text sentence"><blockquote>{words_}</blockquote>{about}</div>'


def _word(word: str, right: str, before: str, after: str) -> str:
    if right == before == after == "O":
        return escape(word)
    marks = "".join(f'<span class="{"ok" if tag == right else "no"}">{escape(tag)}</span>' for tag in (before, after))
    return f'<span class="word">{escape(word)}<small>{escape(right)}</small><small>{marks}</small></span>'
