"""The door: help, exit codes, one line an error, interruption, quiet output."""

import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgeft import __version__, cli, console, steps
from edgeft.errors import BudgetMissed, DataError, GateFailed, UsageError


@pytest.fixture(autouse=True)
def _normal_verbosity() -> None:
    console.set_verbosity(0)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    code = left.value.code
    assert isinstance(code, int)
    return code, out, err


def python(code: str, *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)  # type: ignore[call-overload,no-any-return]


COMMANDS = [[], ["tune"], ["export"], ["eval"], ["run"], ["compare"], ["profiles"], ["profiles", "list"],
            ["profiles", "show"], ["profiles", "detect"], ["doctor"]]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_a_help_that_fits_80_columns(
    capsys: pytest.CaptureFixture[str], command: list[str], flag: str
) -> None:
    code, out, err = run(capsys, *command, flag)
    assert code == 0 and err == ""
    assert out.startswith(f"Usage: edgeft {' '.join(command)}".rstrip())
    assert max(len(line) for line in out.splitlines()) <= 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"edgeft {__version__}\n", "")


def test_help_imports_nothing_heavy() -> None:
    code = """
        import sys
        from edgeft import cli
        try:
            cli.main(["--help"])
        except SystemExit:
            pass
        heavy = {"torch", "transformers", "onnxruntime", "onnx", "numpy", "PIL", "tokenizers", "tqdm", "matplotlib"}
        print("imported:", sorted(heavy & set(sys.modules)))
    """
    assert python(code).stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tnue"], "there is no command 'tnue'; did you mean 'tune'?"),
        (["profiles", "lst"], "did you mean 'list'?"),
        (["tune", "--epoch", "3"], "--epochs"),
        (["tune"], "edgeft tune needs --model"),
        (["tune", "-m", "x", "-d", "y", "--epochs", "-1"], "--epochs -1 is not right; expected a number of at least 0"),
        (["tune", "-m", "x", "-d", "y", "-p", "raspbery-pi-5"], "did you mean 'raspberry-pi-5'"),
        (["tune", "-m", "x", "-d", "y", "-s", "u8s9"], "did you mean 'u8s8'"),
        (["eval", "b", "--budget", "accuracy>=1"], "has no unit"),
        (["eval"], "edgeft eval needs BUNDLE"),
        (["eval", "b", "--preset", "quik"], "did you mean 'quick'?"),
        (["run"], "Missing option '--recipe'"),
        (["run", "--recipe", "none.toml"], "there is no recipe none.toml"),
        (["export", "r", "--set", "archve=true"], "did you mean 'archive'?"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no images in x", "add some"), 1, "error: no images in x; add some"),
        (UsageError("no", "yes"), 2, "error: no; yes"),
        (GateFailed("3 nodes are float", "see export.md"), 3, "error: 3 nodes are float; see export.md"),
        (BudgetMissed("too slow"), 3, "error: too slow"),
        (MemoryError(), 1, "error: there is not enough memory; choose a smaller --batch-size"),
        (OSError(errno.ENOSPC, "No space left"), 1, "error: the disk is full; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "error: /x: permission denied"),
        (ModuleNotFoundError("m", name="onnxruntime"), 1, "pip install 'edgeft[device]'"),
        (ModuleNotFoundError("m", name="torch"), 1, "pip install 'edgeft[train]'"),
        (KeyError("odd"), 1, "error: unexpected KeyError: 'odd'; run again with -v"),
        (ValueError("a\nb"), 1, "error: unexpected ValueError: a; run again with -v"),
        (KeyboardInterrupt(), 130, "interrupted: what is complete is kept; go on with the same command and --resume"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_becomes_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def fail(spec: object) -> None:
        raise error

    monkeypatch.setattr(steps, "do", fail)
    found, _, err = run(capsys, "tune", "-m", "x", "-d", "y")  # C06
    assert found == code
    assert line in err and err.count("\n") == 1


def test_a_traceback_only_with_verbose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(spec: object) -> None:
        raise DataError("odd", "do")

    monkeypatch.setattr(steps, "do", fail)
    _, _, err = run(capsys, "tune", "-m", "x", "-d", "y", "-v")
    assert "Traceback" in err and err.splitlines()[-1] == "error: odd; do"


def test_settings_are_printed_before_work_and_not_with_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "do", lambda spec: print("WORK", spec.epochs))
    code, out, _ = run(capsys, "tune", "-m", "x", "-d", "y", "--epochs", "2")
    assert code == 0
    assert re.search(r"epochs = 2 +# command line\n(.*\n)*WORK 2.0", out)
    for arguments in (["-q", "tune"], ["tune", "-q"]):
        _, out, _ = run(capsys, *arguments, "-m", "x", "-d", "y", "--epochs", "2")
        assert out == "WORK 2.0\n"


def test_json_on_stdout_is_json_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "do", lambda spec: console.result("{}"))
    code, out, _ = run(capsys, "eval", "b", "--format", "json")
    assert (code, out) == (0, "{}\n")


def test_dry_run_reaches_the_step(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(steps, "do", lambda spec: seen.append(spec.dry_run))
    run(capsys, "tune", "-m", "x", "-d", "y", "--dry-run")
    run(capsys, "tune", "-m", "x", "-d", "y")
    assert seen == [True, False]


LONG_WORK = """
    import sys, time
    from edgeft import cli, steps
    def work(spec):
        print("working", flush=True)
        try:
            time.sleep(60)
        finally:
            if "{slow}":
                time.sleep(60)
    steps.do = work
    cli.main(["{command}", "-m", "x", "-d", "y"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("twice", [False, True])
def test_interruption_ends_within_seconds_and_says_how_to_go_on(number: signal.Signals, twice: bool) -> None:
    """Once unwinds; twice ends at once even where unwinding hangs."""
    code = textwrap.dedent(LONG_WORK.format(command="tune", slow="yes" if twice else ""))  # C03
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:  # type: ignore[call-overload]
        while child.stdout.readline() != "working\n":
            pass
        child.send_signal(number)
        if twice:
            time.sleep(0.5)
            child.send_signal(number)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    if not twice:
        assert err == "interrupted: what is complete is kept; go on with the same command and --resume\n"


def test_an_interrupt_that_a_library_swallowed_still_ends_the_work() -> None:
    code = """
    import os, signal
    from edgeft import cli, console, steps
    steps.check_names = lambda spec: None
    def work(spec):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:
            pass
        with console.bar("training", 10) as bar:
            bar.advance()
        print("went on")
    steps.do = work
    cli.main(["tune", "-m", "x", "-d", "y", "-q"])
    """  # C03
    done = python(textwrap.dedent(code))
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr.startswith("interrupted: what is complete is kept")


def test_a_closed_pipe_ends_quietly() -> None:
    code = "from edgeft import cli; cli.main(['profiles', 'list'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert done.returncode == 1 and done.stderr == ""


def test_output_that_a_terminal_cannot_show_is_no_error(tmp_path: Path) -> None:
    code = "from edgeft import cli; cli.main(['profiles', 'show', 'modèle 日本.toml'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = python(code, env=environment, cwd=tmp_path)
    assert done.returncode == 2 and "no profile file" in done.stderr


def test_module_and_command_are_the_same() -> None:
    done = subprocess.run([sys.executable, "-m", "edgeft", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"edgeft {__version__}\n"


def test_profiles_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "profiles", "list")
    assert code == 0 and "raspberry-pi-5" in out and max(map(len, out.splitlines())) <= 80
    code, out, _ = run(capsys, "profiles", "show", "raspberry-pi-5")
    assert code == 0 and "Cortex-A76" in out
    code, out, _ = run(capsys, "profiles", "detect")
    assert code == 0 and "also considered:" in out


def test_compare_needs_two_whole_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "compare", str(tmp_path))
    assert code == 2 and "at least two" in err
    code, _, err = run(capsys, "compare", str(tmp_path), str(tmp_path))
    assert code == 1 and "result.json is missing" in err and err.count("\n") == 1
