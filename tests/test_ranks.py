"""What torchrun tells a process, and what a process that is not the first does not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeft import cli, console, ranks
from edgeft.errors import UsageError
from edgeft.runfolder import STATE, RunState

TOLD = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1"}


@pytest.fixture
def fourth(monkeypatch: Any) -> None:
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)


def test_a_command_that_was_typed_is_alone(monkeypatch: Any) -> None:
    for name in TOLD:
        monkeypatch.delenv(name, raising=False)
    assert (ranks.world(), ranks.number(), ranks.number_here(), ranks.world_here()) == (1, 0, 0, 1)
    monkeypatch.setenv("RANK", "3")  # left over from something else: no number of processes, no address
    assert ranks.world() == 1 and ranks.first() and ranks.tells_of_failure()


def test_the_fourth_of_four(fourth: None) -> None:
    assert (ranks.world(), ranks.number(), ranks.number_here(), ranks.world_here()) == (4, 3, 1, 2)
    assert not ranks.first() and not ranks.tells_of_failure()


def test_it_is_silent(fourth: None, capsys: Any) -> None:
    console.say("a line")
    console.result("a result")
    console.warn("a warning")
    with console.bar("work", 2) as bar:
        bar.advance()
    assert capsys.readouterr() == ("", "")
    console.warn("its own memory", anywhere=True)
    assert capsys.readouterr().err == "warning: its own memory\n"


def test_it_writes_no_state(fourth: None, tmp_path: Path) -> None:
    state = RunState.begin(tmp_path, {}, resume=False)
    state.finish("float", {"steps": 3})
    assert state.done("float") == {"steps": 3}
    assert not (tmp_path / STATE).exists()


def test_whoever_failed_first_tells(fourth: None) -> None:
    try:
        ranks.ask_who_failed_first(lambda: True)
        assert ranks.tells_of_failure()
    finally:
        ranks.ask_who_failed_first(ranks.first)
    assert not ranks.tells_of_failure()


@pytest.mark.parametrize("command", [["eval", "b"], ["export", "r"], ["run", "--recipe", "x.toml"]])
def test_other_commands_are_refused(command: list[str], monkeypatch: Any, capsys: Any) -> None:
    for name, value in {**TOLD, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)
    with pytest.raises(SystemExit):
        cli.main(command)
    assert left == [2]
    said = capsys.readouterr().err
    wanted = f"error: edgeft {command[0]} is work for one process, and 4 were started; start edgeft tune with torchrun"
    assert said.startswith(wanted) and said.count("\n") == 1


def test_refused_is_one_error(fourth: None) -> None:
    with pytest.raises(UsageError, match="edgeft export is work for one process"):
        ranks.refuse_several("export")
