"""What becomes of a command: the one place that turns an error into a line on stderr and an exit code.

    0 done · 1 error · 2 usage · 3 done, but a budget was missed or a gate failed · 130 interrupted
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from edgeft import console, ranks
from edgeft.errors import EdgeftError

_ON_INTERRUPT = {
    "tune": "what is complete is kept; go on with the same command and --resume",
    "eval": "finished passes are kept; go on with the same command and --resume",
    "run": "what is complete is kept; the same command goes on from there",
}


def of(group: click.Group, arguments: list[str]) -> int:
    """Run `group` with `arguments` and return the exit code."""
    if "_EDGEFT_COMPLETE" in os.environ:  # a shell asks for completions
        group.main(arguments, prog_name="edgeft")
    if ranks.world() > 1:  # torch's own words about connections that broke, frame by frame; read when it is imported
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with _signals():
        return _guarded(group, arguments)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM unwinds the work, the second ends at once; forked workers end without a word, and so
    do all but the first process of a run of several: one that waits for the others would not come to its handler."""
    owner = os.getpid()
    asked = False

    def stop(number: int, frame: Any) -> None:
        nonlocal asked
        if asked or os.getpid() != owner:
            os._exit(130)
        asked = True
        console.stop_soon(True)
        raise KeyboardInterrupt

    handler = stop if ranks.first() else signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        console.stop_soon(False)
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave(code: int) -> NoReturn:
    """End the process. One of several that failed ends without the clean-up of its connections, which may wait for
    processes that wait for it."""
    if code and ranks.world() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _guarded(group: click.Group, arguments: list[str]) -> int:
    try:
        with group.make_context("edgeft", arguments) as context:
            group.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        # Whoever read the output has left (`edgeft … | head`); keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:
        if isinstance(error, (SystemExit, GeneratorExit)):
            raise
        line, code = _told(error, arguments)
        if not ranks.tells_of_failure():
            return code
        if console.verbosity() > 0 and code != 130:
            traceback.print_exception(error)
        click.echo(f"error: {line}" if code != 130 else line, err=True)
        return code


def _told(error: BaseException, arguments: list[str]) -> tuple[str, int]:
    """One line about `error`, and the exit code it means."""
    if isinstance(error, EdgeftError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError):
        return _usage(error), 2
    if isinstance(error, KeyboardInterrupt):
        command = next((word for word in arguments if not word.startswith("-")), "")
        hint = _ON_INTERRUPT.get(command, "nothing half-written is taken for whole; run the same command again")
        return f"interrupted: {hint}", 130
    if isinstance(error, ModuleNotFoundError):
        from edgeft.packages import missing

        known = missing(error)
        if known is not None:
            return str(known), known.exit_code
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "there is not enough memory; choose a smaller --batch-size, --max-length or --image-size", 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again", 1
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}; check the path and its permissions", 1
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"unexpected {type(error).__name__}: {first}; run again with -v to see where", 1


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "edgeft"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"
