"""report.html: one file that needs nothing else. Plots when matplotlib is installed, else a line saying so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edgeft.evaluation.result import Result
from edgeft.report import markdown, words

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; margin: 2rem auto; max-width: 1100px;
       padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .2rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.sub { color: #5b6b7b; margin: 0 0 1.5rem }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid #dde3ea; white-space: nowrap }
th { color: #5b6b7b; font-weight: 600; white-space: normal; vertical-align: bottom }
th:first-child, td:first-child, .kv td { text-align: left } .kv td { white-space: normal; vertical-align: top }
.kv td:first-child { color: #5b6b7b; width: 9rem }
li { margin: .25rem 0 } .bad { color: #b42318; font-weight: 600 } .plots { display: grid; gap: 1rem;
grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)) } .plots svg { width: 100%; height: auto }
figure { margin: 0 } figcaption { color: #5b6b7b; font-size: .85rem }
"""


def render(result: Result) -> str:
    document = result.document
    title = f"{document['data']['name']}: {', '.join(document['variants'])}"
    valid = document["validity"]["valid"]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{escape(dict(words.conditions(document))["machine"])} &middot; '
        f"{escape(document['created_utc'])} &middot; preset {escape(document['preset_label'])}</p>",
        "" if valid else '<p class="bad">Not valid: see the flags.</p>',
        _table(markdown.HEAD, [markdown.cells(row) for row in words.rows(document)]),
        f"<p>Energy {escape(words.energy_line(document))}.</p>" if words.energy_line(document) else "",
        _plots(result),
        _list("Claims", map(words.claim_line, document["claims"])),
        _list("Flags", map(words.flag_line, document["validity"]["flags"])),
        _list("Budget", words.budget_lines(document)),
        _pairs("Conditions", words.conditions(document)),
        _pairs("Variants", words.details(document)),
        "<p class='sub'>p50 is the median; p90 is MLPerf's early-stopping estimate, an upper bound at 99&nbsp;% "
        "confidence. Intervals are 95&nbsp;%: Agresti-Min on paired answers, Student's t on log ratios of "
        "alternating blocks.</p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(part for part in parts if part)
    head += f"<style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _plots(result: Result) -> str:
    try:
        from edgeft.report import plots
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return "<p class='sub'>No plots: matplotlib is not installed here (pip install 'edgeft[report]').</p>"
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in plots.all_plots(result)
    )
    return f'<h2>Plots</h2><div class="plots">{figures}</div>'


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rest = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{first}</tr>{rest}</table></div>'


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>" if items else ""


def _pairs(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in pairs)
    return f'<h2>{escape(title)}</h2><table class="kv">{body}</table>'
