"""report.html: one file that needs no other, no script and no package; for light, dark, phone and paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from edgeft.evaluation.result import Result
from edgeft.report import figures, markdown, plots, words
from edgeft.report.budget_words import budget_lines
from edgeft.report.svg import legend_mark
from edgeft.report.variant_html import what_changed


def render(result: Result) -> str:
    document = result.document
    title = f"{document['data']['name']}: {', '.join(document['variants'])}"
    flags = document["validity"]["flags"]
    return page(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            f'<p class="sub">{escape(dict(words.conditions(document))["machine"])} &middot; '
            f"{escape(words.moment(document['created_utc']))} &middot; preset {escape(document['preset_label'])}</p>",
            "" if document["validity"]["valid"] else '<p class="bad">Not valid: see the flags.</p>',
            table(*markdown.columns(document), "main"),
            f'<p class="sub">{escape(words.marked(document))}</p>' if words.marked(document) else "",
            f"<p>Energy {escape(words.energy_line(document))}.</p>" if words.energy_line(document) else "",
            section("Claims", [_claim(claim) for claim in document["claims"]]),
            section("Flags", [_flag(flag) for flag in flags]),
            section("Budget", [_limit(line) for line in budget_lines(document)]),
            "<h2>Plots</h2>", _legend(document), charts(plots.all_plots(result)),
            "<h2>Right answers by slice</h2>" + pairs(words.slices(document)) if words.slices(document) else "",
            *what_changed(result),
            "<h2>All figures</h2>", table(("", *document["variants"]), figures.rows(document), "figures"),
            "<h2>Conditions</h2>", pairs(words.conditions(document)),
            listed("Meters that did not measure", words.meters_tried(document)),
            f'<p class="sub">{escape(markdown.METHOD)}</p>',
        ],
    )  # fmt: skip


def page(title: str, parts: Iterable[str]) -> str:
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style>"
    )
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def charts(drawn: Iterable[plots.Drawn]) -> str:
    return '<div class="plots">' + "".join(chart(*one) for one in drawn) + "</div>"


def chart(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _legend(document: Mapping[str, Any]) -> str:
    keys = "".join(
        f"<span>{legend_mark(series)}{escape(name)}, {escape(text)}</span>"
        for series, name, text in plots.legend_names(document)
    )
    return f'<p class="legend">{keys}</p>'


def table(head: Sequence[str], lines: Iterable[Sequence[str]], kind: str) -> str:
    """On a phone a "main" table becomes a card a row, each figure with its column's name."""
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rest = "".join(
        "<tr>"
        + "".join(_cell(name, cell) for name, cell in zip(head, line, strict=True))
        + "</tr>"
        for line in lines
    )
    return f'<div class="wide"><table class="{kind}"><tr>{first}</tr>{rest}</table></div>'


def _cell(name: str, cell: str) -> str:
    absent = ' class="absent"' if cell == words.ABSENT else ""
    return f'<td data-name="{escape(name)}"{absent}>{escape(cell)}</td>'


def section(title: str, items: Sequence[str]) -> str:
    return f"<h2>{escape(title)}</h2><ul>{''.join(items)}</ul>" if items else ""


def listed(title: str, lines: Iterable[str]) -> str:
    return section(title, [f"<li>{escape(line)}</li>" for line in lines])


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in lines)
    return f'<table class="kv">{body}</table>'


def _limit(line: str) -> str:
    """ "MISS  latency_p90<=10ms  int8 has 14 ms" with its three parts set apart; the winner's line as it is."""
    verdict, *rest = line.split("  ")
    if not rest:
        return f"<li>{escape(line)}</li>"
    kind = "kept" if verdict == "pass" else "invalid"
    return f'<li class="{kind}"><b>{escape(verdict)}</b> {escape(": ".join(rest))}</li>'


def _claim(claim: Mapping[str, Any]) -> str:
    kind = "" if claim["valid"] else ' class="invalid"'
    before = "" if claim["valid"] else "NOT VALID: "
    return f'<li{kind}>{before}{escape(claim["text"])} <span class="basis">({escape(claim["basis"])})</span></li>'


def _flag(flag: Mapping[str, Any]) -> str:
    text = f"{escape(flag['evidence'])} <span class=\"basis\">[{escape(flag['code'])}]</span>"
    return f'<li class="{escape(flag["severity"])}"><b>{escape(flag["severity"])}</b>: {text}</li>'
