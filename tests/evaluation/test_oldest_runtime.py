"""The whole command in the oldest onnxruntime that profiles name, and the same answers as here.

EDGEFT_OLD_PYTHON names an interpreter that has it; `make test-oldest` makes one. It need not have edgeft, which is
taken from this checkout.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeft.evaluation import run
from edgeft.evaluation.result import Result
from tests.evaluation.make_bundle import make_bundle

OLD = os.environ.get("EDGEFT_OLD_PYTHON")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not OLD, reason="EDGEFT_OLD_PYTHON names no interpreter with onnxruntime 1.18")


def test_a_bundle_gives_the_same_answers_in_onnxruntime_1_18(spec, tmp_path):
    bundle = make_bundle(tmp_path / "b", n=30, wrong_labels=(0, 1, 2))
    here = run.evaluate(spec(bundle=bundle.path, output=tmp_path / "here"))
    command = [OLD, "-m", "edgeft", "eval", bundle.path, "--preset", "quick", "--profile", "generic", "--threads", "1",
               "--meter", "none", "-o", tmp_path / "there"]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    there = Result.open(tmp_path / "there")
    assert there.document["runtime"]["onnxruntime"]["version"].startswith("1.18.")
    assert there.document["variants"]["int8"]["matrix_kernels"] == {"integer": 1, "float": {}}
    for name in ("original", "int8"):
        assert there.document["variants"][name]["accuracy"]["value"] == pytest.approx(27 / 30)
        difference = np.abs(there.samples()[f"{name}/logits"] - here.samples()[f"{name}/logits"])
        assert difference.max() <= 1.5 / 255 + 1e-6  # one step of the int8 model's output scale
