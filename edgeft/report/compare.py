"""`edgeft compare`: results of several machines, bundles and dates side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeft.errors import UsageError, did_you_mean
from edgeft.evaluation.result import Result
from edgeft.report import html, markdown, words
from edgeft.report.sidebyside import CONDITIONS, broken, differences, energy_ratio, same_answers, speed_ratio
from edgeft.report.text import WIDTH

__all__ = ["CONDITIONS", "compare", "differences"]

_RESULTS = ("result", "measured", "machine", "profile", "runtime", "protocol", "bundle")
_FIGURES = (
    "result", "variant", "accuracy", "p50 ms", "p90 ms", "own speedup", "mJ", "size MB", "peak MB", "speed to first",
    "energy to first",
)  # fmt: skip
_REFUSED = "no, see below"


@dataclass(frozen=True)
class Section:
    """A table (head and lines), or a list (lines of one cell and no head)."""

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def compare(paths: Sequence[str | Path], format: str = "text") -> str:
    """All variants of all results; a ratio to the first result only where conditions allow one, else what differs.

    Raises FolderError for a folder without a whole result, UsageError for fewer than two or an unknown format.
    """
    if len(paths) < 2:
        raise UsageError("edgeft compare needs at least two results", "edgeft compare RESULT RESULT …")
    if format not in _FORMATS:
        raise UsageError(f"edgeft compare does not print {format!r}", did_you_mean(format, _FORMATS))
    results = [Result.open(path) for path in paths]
    named = list(zip(_names(results), results, strict=True))
    notes = [(note,) for one in named[1:] for note in _why_not(one, named[0])]
    answers = [(line,) for one in named[1:] for line in _answers(one, named[0])]
    sections = [
        Section("Results", _RESULTS, tuple(_about(name, one) for name, one in named)),
        _without_empty("Figures", _FIGURES, [line for one in named for line in _lines(one, named[0])]),
        Section("No ratio to the first result is given, because", (), tuple(notes)),
        Section("Answers", (), tuple(answers)),
    ]
    return str(_FORMATS[format]([section for section in sections if section.lines]))


def _without_empty(title: str, head: Sequence[str], lines: Sequence[tuple[str, ...]]) -> Section:
    """A table without the columns in which nobody has a figure."""
    kept = [i for i in range(len(head)) if any(line[i] != words.ABSENT for line in lines)]
    return Section(title, tuple(head[i] for i in kept), tuple(tuple(line[i] for i in kept) for line in lines))


def _names(results: Sequence[Result]) -> list[str]:
    """The folders' names, with the folder above where two are alike, numbered where that does not help."""
    names = [one.path.resolve().name for one in results]
    if len(set(names)) < len(names):
        names = [f"{one.path.resolve().parent.name}/{name}" for one, name in zip(results, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(names)]


def _about(name: str, one: Result) -> tuple[str, ...]:
    document = one.document
    runtime, told = document["runtime"], dict(words.conditions(document))
    provider = runtime["ep_requested"].removesuffix("ExecutionProvider")
    return (
        name, document["created_utc"][:16].replace("T", " "), told["machine"], document["profile"]["id"],
        f"onnxruntime {runtime['onnxruntime']['version']}, {provider}, {runtime['intra_threads']} threads",
        f"{document['preset']}, {document['scenario']}",
        " ".join([document["data"]["name"], document["data"].get("bundle_sha256", "")[:8]]).strip(),
    )  # fmt: skip


def _lines(one: tuple[str, Result], first: tuple[str, Result]) -> list[tuple[str, ...]]:
    name, result = one
    refused = bool(_why_not(one, first))
    found: list[tuple[str, ...]] = []
    for row in words.rows(result.document):
        energy = result.document["variants"][row.name]["energy"]
        joules = words.joules_cell(energy)
        here = ("first", words.ABSENT if joules == words.ABSENT else "first")
        ratios = here if one is first else _ratios(result, first[1], row.name, refused)
        own = row.speedup if row.speed_interval == words.ABSENT else f"{row.speedup} {row.speed_interval}"
        found.append(
            (name, row.name, row.accuracy, row.p50, row.p90, own, joules, row.size, row.memory, *ratios)
        )  # fmt: skip
    return found


def _ratios(result: Result, first: Result, variant: str, refused: bool) -> tuple[str, str]:
    speed = speed_ratio(first.document, result.document, variant)
    energy = energy_ratio(first.document, result.document, variant)
    if refused:
        return (words.ABSENT if speed is None else _REFUSED), (words.ABSENT if energy is None else _REFUSED)
    told = words.ABSENT
    if speed is not None:
        told = f"{words.ratio(speed.point)}x"
        if speed.low is not None and speed.high is not None:
            told += f" [{words.ratio(speed.low)}, {words.ratio(speed.high)}]"
    if energy is None or isinstance(energy, str):
        return told, energy or words.ABSENT
    joules = f"{words.ratio(energy.point)}x"
    if energy.low is not None and energy.high is not None:
        joules += f" [{words.ratio(energy.low)}, {words.ratio(energy.high)}]"
    return told, f"{joules} of {result.document['variants'][variant]['energy']['coverage']}"


def _why_not(one: tuple[str, Result], first: tuple[str, Result]) -> list[str]:
    (name, result), (first_name, before) = one, first
    found = [
        f"{name} differs from {first_name} in {field}: {_short(there)} instead of {_short(here)}"
        for field, here, there in differences(before.document, result.document)
    ]
    for who, document in ((name, result.document), (first_name, before.document)):
        if codes := broken(document):
            found.append(f"{who} is not valid ({codes})")
    return found


def _short(value: str) -> str:
    """A hash is told apart by its first letters."""
    return value[:12] if len(value) == 64 and set(value) <= set("0123456789abcdef") else value


def _answers(one: tuple[str, Result], first: tuple[str, Result]) -> list[str]:
    return [
        f"{one[0]} gives the same answers as {first[0]} with {variant} on {words.percent(share)} of {n} samples"
        for variant, (share, n) in same_answers(first[1], one[1]).items()
    ]


def _text(sections: Sequence[Section]) -> str:
    return "\n\n".join(_text_section(section) for section in sections)


def _text_section(section: Section) -> str:
    if not section.head:
        return "\n".join([f"{section.title.lower()}:", *(f"- {line[0]}" for line in section.lines)])
    if section.head == _RESULTS:
        told = [f"{line[0]}: {'; '.join(line[1:])}" for line in section.lines]
        return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in told)
    cells = [section.head, *section.lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(section.head))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([shown[0], "-" * max(map(len, shown)), *shown[1:]])


def _markdown(sections: Sequence[Section]) -> str:
    parts = []
    for section in sections:
        parts.append(f"## {section.title}")
        lines = [f"- {line[0]}" for line in section.lines]
        parts.append(markdown.table(section.head, section.lines) if section.head else "\n".join(lines))
    return "\n\n".join(parts)


def _html(sections: Sequence[Section]) -> str:
    parts = ["<h1>Results side by side</h1>"]
    for section in sections:
        if section.head:
            parts += [f"<h2>{section.title}</h2>", html.table(section.head, section.lines, "main left")]
        else:
            parts.append(html.listed(section.title, [line[0] for line in section.lines]))
    parts.append(
        '<p class="sub">Own speedup: against the baseline of the same result, from alternating blocks. Speed to first: '
        "from the medians of unpaired blocks (Welch); energy to first: from their joules an example, likewise; what "
        "changed between two sittings is not in their intervals.</p>"
    )
    return html.page("edgeft compare", parts)


_FORMATS = {"text": _text, "markdown": _markdown, "html": _html}
