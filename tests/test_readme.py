"""What the README says exists: options, profiles, files, links, and the figures' form."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edgeft.cli import group
from edgeft.profile import profile_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    set(re.findall(r"edgeft (?:tune|export|eval|run|compare|profiles|doctor)\b[^\n`|)]*", README)),
    key=lambda line: (len(line), line),
)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_there_is_nothing_left_to_fill_in() -> None:
    assert not re.search(r"@@|TODO|TBD|XXX", README)


@pytest.mark.parametrize("line", COMMANDS)
def test_options_of_every_command_line_exist(line: str) -> None:
    words = shlex.split(line.replace("…", ""))[1:]
    command = group.commands[words[0]]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_profiles_named_exist() -> None:
    named = set(re.findall(r"--profile ([a-z0-9-]+)(?![a-z0-9-]*\.)", README))
    assert named and named <= {*profile_names(), "my-board"}


def test_links_lead_to_files() -> None:
    for place in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / place).exists(), place


def test_the_tree_is_the_tree() -> None:
    lines = [line for line in section("The tree").splitlines() if line.startswith("    ")]
    inside = ""
    found = 0
    for line in lines:
        for name in re.split(r",\s*", re.split(r"\s{2,}", line.strip())[0]):
            if line.startswith("      "):
                assert (ROOT / inside / name).exists(), name
            else:
                inside = name
                assert (ROOT / name).exists(), name
            found += 1
    assert found >= 15


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)$", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_extension_doors_named_are_real() -> None:
    registries = "".join(path.read_text() for path in (ROOT / "edgeft").rglob("*.py"))
    for kind in re.findall(r"`edgeft\.(\w+)`", section("Adding to it")):
        assert re.search(rf'Registry\(\s*"{kind.replace("_", " ")}"', registries), kind
