"""Looking into all files of a dataset before anything is trained on it, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edgeft import console
from edgeft.errors import DataError

_NAMED = 5
Found = TypeVar("Found")


def all_of(
    inspect: Callable[[Path, str, bool], Found], paths: Sequence[Path], names: Sequence[str], decode: bool, many: str
) -> list[Found]:
    """What `inspect` (path, name, decode) finds of every file, in the order given; `many` is what they are called."""
    with (
        ThreadPoolExecutor(max_workers=allowed_cpus()) as pool,
        console.bar(f"checking {many}" if decode else f"hashing {many}", len(paths), many) as bar,
    ):
        found = []
        # An interrupt ends the loop, and pool.map then cancels what has not begun: Ctrl-C waits for no more files.
        for inspected in pool.map(inspect, paths, names, [decode] * len(paths)):
            found.append(inspected)
            bar.advance()
    return found


def allowed_cpus() -> int:
    """CPUs this process may use, which in a container are fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def problem_of(path: Path, error: OSError) -> str:
    """Why a file could not be opened."""
    gone = path.is_symlink() and not path.exists()
    return "a link to a file that is not there" if gone else f"{error.strerror or error}"


def refuse_bad(problems: Sequence[str | None], names: Sequence[str], where: str, many: str) -> None:
    """One DataError for all unreadable files: how many, and the first few by name and by what they really are.

    A run stops on them: leaving them out would train and test on other examples than the user counted. When there
    are more than the error can name, a warning line names each.
    """
    bad = [f"{name} ({problem})" for name, problem in zip(names, problems, strict=True) if problem]
    if not bad:
        return
    if len(bad) > _NAMED:
        for line in bad:
            console.warn(f"unreadable {many.removesuffix('s')}: {line}")
    more = f", and {len(bad) - _NAMED} more, named above" if len(bad) > _NAMED else ""
    raise DataError(
        f"{len(bad)} of {len(problems)} {many} in {where} cannot be used: {', '.join(bad[:_NAMED])}{more}",
        "repair, replace or remove them and run the same command again",
    )
