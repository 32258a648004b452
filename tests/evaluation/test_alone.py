"""C07: the board has no torch, no transformers and no network; the bundle is enough."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.test_evaluate_texts import text_bundle

TEXTS = [("it is good", 1), ("it is bad", 0), ("good good", 1), ("bad bad", 0)]


def alone(*arguments: str) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parents[2]
    # A proxy named in the environment would be asked instead of the host itself.
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "-m", "tests.evaluation.alone", *arguments], capture_output=True, text=True, timeout=200,
        cwd=root, env=env,
    )  # fmt: skip


@pytest.mark.parametrize("content", ["image", "text"])
def test_a_bundle_is_evaluated_with_the_device_packages_and_without_a_network(tmp_path, bundle_path, content):
    bundle = bundle_path if content == "image" else text_bundle(tmp_path / "bundle", TEXTS).path
    done = alone(str(bundle), str(tmp_path / "result"))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "result" / "result.json").read_text())
    assert {one["accuracy"]["value"] for one in document["variants"].values()} == {1.0}
    assert (tmp_path / "result" / "report.html").stat().st_size > 10_000


def test_the_watch_over_the_network_sees_a_connection():
    code = (
        "import tests.evaluation.alone as alone\n"
        "alone.NoNetwork().connect(('192.0.2.1', 80))\n"  # RFC 5737: an address that belongs to nobody
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.returncode == 70 and "a connection to ('192.0.2.1', 80) was tried" in done.stderr
