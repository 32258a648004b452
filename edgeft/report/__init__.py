"""Turning a result into something to read: a format is one file and one line in this table."""

from __future__ import annotations

from edgeft import files
from edgeft.evaluation.result import Result
from edgeft.registry import Registry

# Each is a function of a Result that returns text.
FORMATS = Registry(
    "report format",
    {
        "text": "edgeft.report.text:render",
        "markdown": "edgeft.report.markdown:render",
        "json": "edgeft.report.plain:render",
        "html": "edgeft.report.html:render",
    },
)


def print_as(name: str, result: Result) -> str:
    """`result` in the format called `name`. Raises UsageError for one that does not exist."""
    return str(FORMATS.load(name)(result))


def write_reports(result: Result) -> None:
    """report.md and report.html, into the result's folder."""
    files.write_text(result.path / "report.md", print_as("markdown", result))
    files.write_text(result.path / "report.html", print_as("html", result))
