"""A budget as JUnit XML, which build servers show: one test case a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from edgeft.evaluation.limits import held_text, missed_text


def render(document: Mapping[str, Any]) -> str:
    """The limits of `document` (edgeft-result/1). A limit that is missed, or was not measured, is a failure."""
    lines = document["budget"]
    failures = [line for line in lines if not line["passed"]]
    suite = ElementTree.Element(
        "testsuite", name="edgeft budget", tests=str(len(lines)), failures=str(len(failures)), errors="0", skipped="0",
        timestamp=document["created_utc"],
    )  # fmt: skip
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _about(document):
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for line in lines:
        _case(suite, line, document["data"]["name"])
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content.decode("utf-8") + "\n"


def _about(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    system = document["system"]
    machine = system.get("board_model") or system.get("cpu_model") or ""
    about = {
        "winner": document.get("winner", ""), "baseline": document["baseline"], "profile": document["profile"]["id"],
        "machine": machine, "preset": document["preset_label"], "valid": str(document["validity"]["valid"]).lower(),
    }  # fmt: skip
    return [(name, value) for name, value in about.items() if value]


def _case(suite: ElementTree.Element, line: Mapping[str, Any], bundle: str) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"edgeft.budget.{bundle}", name=line["text"])
    if not line["passed"]:
        ElementTree.SubElement(case, "failure", message=missed_text(line), type="budget")
    said = [f"{name}: {_held(line['text'], one)}" for name, one in line["by_variant"].items()]
    ElementTree.SubElement(case, "system-out").text = "\n".join(said)


def _held(text: str, one: Mapping[str, Any]) -> str:
    return f"{held_text(text, one)}, {'kept' if one['passed'] else 'missed'}"
