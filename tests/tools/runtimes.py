"""Whether a bundle exported for a profile answers alike in the oldest and the newest onnxruntime that it names.

    python -m tests.tools.runtimes FOLDER [--profile NAME ...] [--eval] [--oldest-python PYTHON]

In FOLDER, one virtual environment for each onnxruntime that the profiles name, with only what a board needs; they are
kept for the next time. A convolutional net and a transformer of random weights are exported for each profile (grids
that onnxruntime's CPU provider computes), and every variant answers every example in both. With --eval the whole
command runs in both, too. Exit code 1 when answers differ by more than rounding.

Profiles with the same grids and the same two releases make the same files, so one of them stands for all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgeft.bundle import Bundle
from edgeft.evaluation.result import Result
from edgeft.exporting.run import export
from edgeft.profile import Profile, load_profile, profile_names
from edgeft.scheme import SCHEMES
from edgeft.specs import ExportSpec
from tests.exporting.runs import make_run

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("image", "text")
# Floats are added up in another order by another release; a value that then falls on the other side of a rounding
# boundary moves by one step of its grid. So much of the spread of the logits may come of it.
ROUNDING = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description="Bundles in the oldest and newest onnxruntime of their profiles.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", action="append", choices=profile_names(), help="by default all")
    parser.add_argument("--eval", action="store_true", help="also run edgeft eval in both")
    parser.add_argument("--oldest-python", default=sys.executable, help="interpreter of the oldest release")
    given = parser.parse_args()
    oldest = min(oldest_and_newest(load_profile(name))[0] for name in profile_names())
    groups = grouped(given.profile or profile_names())
    pythons = {
        release: environment(given.folder, release, given.oldest_python if release == oldest else sys.executable)
        for release in sorted({release for (_, *both), _ in groups for release in both})
    }
    print(f"{'profiles':46} {'grids':10} {'model':6} {'variant':9} {'oldest':>8} {'newest':>8}   same   off by")
    failed = False
    for (scheme, old, new), names in groups:
        for kind in KINDS:
            bundle = bundle_for(given.folder, names[0], scheme, kind)
            failed |= compare(bundle, names, scheme, kind, (old, new), pythons, given.folder)
            if given.eval:
                failed |= evaluate_both(bundle, (old, new), pythons, given.folder)
    sys.exit(1 if failed else 0)


def oldest_and_newest(profile: Profile) -> tuple[str, str]:
    """As the profile names them; a newest that is not named is the newest there is."""
    return profile.runtime["onnxruntime_min"], profile.runtime.get("onnxruntime_max", "newest")


def grouped(names: list[str]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """[((grids, oldest, newest), profiles with these)]; grids are the first that the CPU provider computes."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name in names:
        profile = load_profile(name)
        scheme = next(one for one in profile.schemes if SCHEMES.load(one).runs_on_cpu)
        found.setdefault((scheme, *oldest_and_newest(profile)), []).append(name)
    return sorted(found.items())


def environment(folder: Path, release: str, python: str) -> Path:
    """The interpreter of a virtual environment with that onnxruntime and what else a board needs."""
    place = folder / f"onnxruntime-{release}"
    inside = place / "bin" / "python"
    if not (place / "ready").is_file():
        subprocess.run([python, "-m", "venv", "--clear", place], check=True)
        asked = "onnxruntime" if release == "newest" else f"onnxruntime=={release}.*"
        # onnxruntime before 1.19 was built against numpy 1.
        numpy = "numpy<2" if release != "newest" and int(release.split(".")[1]) < 19 else "numpy"
        wanted = [asked, numpy, "click", "tqdm", "Pillow", "tokenizers", "tomli; python_version < '3.11'"]
        subprocess.run([inside, "-m", "pip", "install", "--quiet", *wanted], check=True)
        (place / "ready").touch()
    return inside


def bundle_for(folder: Path, profile: str, scheme: str, kind: str) -> Bundle:
    """A small run with these grids, exported for `profile`."""
    place = folder / f"{profile}-{kind}"
    if not (place / "bundle").is_dir():
        run = make_run(place, kind, scheme=scheme, profile=profile, n_test=40)
        export(ExportSpec(run=run, output=place / "bundle", profile=profile))
    return Bundle.open(place / "bundle")


def run_in(python: Path, *command: str | Path) -> None:
    subprocess.run([python, *command], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def compare(
    bundle: Bundle, names: list[str], scheme: str, kind: str, releases: tuple[str, str], pythons: dict[str, Path],
    folder: Path,
) -> bool:  # fmt: skip
    """Print one line a variant; True when one differs."""
    both = []
    for release in releases:
        out = folder / f"{names[0]}-{kind}-{release}.npz"
        run_in(pythons[release], ROOT / "tests/tools/answers.py", bundle.path, out)
        with np.load(out) as stored:
            both.append({name: stored[name] for name in stored.files})
    failed = False
    for variant in bundle.variants:
        old, new = both[0][variant], both[1][variant]
        same = float(np.mean(old.argmax(1) == new.argmax(1)))
        off = float(np.abs(old - new).max() / new.std())
        failed |= off > ROUNDING
        shown = ", ".join(names)
        print(
            f"{shown if len(shown) <= 46 else shown[:43] + '...':46} {scheme:10} {kind:6} {variant:9} "
            f"{releases[0]:>8} {releases[1]:>8} {same:6.1%} {off:8.2g}{' !' if off > ROUNDING else ''}"
        )
    return failed


def evaluate_both(bundle: Bundle, releases: tuple[str, str], pythons: dict[str, Path], folder: Path) -> bool:
    """`edgeft eval` in both; True when the variants do not run in the same kernels."""
    kernels = []
    for release in releases:
        result = folder / f"result-{release}"
        run_in(
            pythons[release], "-m", "edgeft", "-q", "eval", bundle.path, "--preset", "quick", "--profile", "generic",
            "--threads", "1", "--meter", "none", "--variants", "int8", "-o", result,
        )  # fmt: skip
        document = Result.open(result).document
        kernels.append({name: one["matrix_kernels"] for name, one in document["variants"].items()})
        print(f"edgeft eval ran in onnxruntime {document['runtime']['onnxruntime']['version']}: {kernels[-1]}")
    return kernels[0]["int8"]["integer"] != kernels[1]["int8"]["integer"]


if __name__ == "__main__":
    main()
