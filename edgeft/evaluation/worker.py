"""A model in a process of its own: what it took is given back when that process ends, whatever the runtime keeps.

Both sides: `OwnProcess` is the model as the passes see it, and run as `python -m edgeft.evaluation.worker` this module
is the process that opens it. Queries are timed there, by the same loop; what passes between the two is not in a time.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.errors import EdgeftError, MachineError
from edgeft.evaluation.schedule import BlockRule
from edgeft.evaluation.session import Feed, OrtModel, Settings, open_model
from edgeft.evaluation.timing import Pace, RealTicks, Ticks


class OwnProcess:
    """Opens `path` in a new process. Raises what opening raises; MachineError when the process dies."""

    def __init__(self, path: Path, settings: Settings, output: str) -> None:
        self.away_ns = 0
        self._name = path.name
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgeft.evaluation.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        try:
            about = self._ask({"model": str(path), "settings": settings.as_json(), "output": output})
        except BaseException:
            self.close()
            raise
        self.inputs: Mapping[str, str] = about["inputs"]
        self.fixed_batch: int | None = about["fixed_batch"]

    def call(self, feed: Feed) -> Any:
        """Outputs for one feed; away_ns grows by what the way there and back took."""
        begin = time.perf_counter_ns()
        answer = self._ask(_Call(dict(feed)))
        self.away_ns += time.perf_counter_ns() - begin - answer["ns"]
        return answer["outputs"]

    def time(
        self, feeds: Sequence[Feed], rule: BlockRule, pace: Pace, ticks: Ticks, first: int = 0
    ) -> NDArray[np.int64]:
        times: NDArray[np.int64] = self._ask(_Time([dict(feed) for feed in feeds], rule, pace, first))
        return times

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()  # the process ends when its input does
                except OSError:
                    continue
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: Any) -> Any:
        there, back = self._process.stdin, self._process.stdout
        assert there is not None and back is not None  # pipes were asked for
        try:
            pickle.dump(message, there, protocol=5)
            there.flush()
            answer = pickle.load(back)  # from a process that this one started
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            code = self._process.wait()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            next_step = "free memory, or use a smaller model" if code == -9 else "edgeft doctor shows what is wrong"
            raise MachineError(f"the process that runs {self._name} {how}", next_step) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


@dataclass(frozen=True)
class _Call:
    feed: Feed

    def do(self, model: OrtModel) -> dict[str, Any]:
        begin = time.perf_counter_ns()
        outputs = model.call(self.feed)
        return {"ns": time.perf_counter_ns() - begin, "outputs": outputs}


@dataclass(frozen=True)
class _Time:
    feeds: Sequence[Feed]
    rule: BlockRule
    pace: Pace
    first: int

    def do(self, model: OrtModel) -> NDArray[np.int64]:
        gc.collect()
        gc.disable()
        try:
            return model.time(self.feeds, self.rule, self.pace, RealTicks(), self.first)
        finally:
            gc.enable()


def _main() -> None:
    # Providers print to the standard output; what is meant for the other side has a pipe of its own.
    back = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    there = sys.stdin.buffer

    def answer(content: Any) -> None:
        pickle.dump(content, back, protocol=5)
        back.flush()

    job = pickle.load(there)
    try:
        model = open_model(Path(job["model"]), Settings.from_json(job["settings"]), job["output"])
    except EdgeftError as error:
        return answer(error)
    answer({"inputs": model.inputs, "fixed_batch": model.fixed_batch})
    while True:
        try:
            message = pickle.load(there)
        except EOFError:
            return
        try:
            content = message.do(model)
        except Exception as error:  # onnxruntime's errors cannot be pickled
            content = RuntimeError(str(error))
        answer(content)


if __name__ == "__main__":
    from edgeft.evaluation import worker  # so that messages are of the module both sides know

    worker._main()
