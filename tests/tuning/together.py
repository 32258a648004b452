"""The same runs as two processes and as one, for test_processes: `python -m tests.tuning.together FOLDER`.

One program, so that torch is imported once: children are forked before anything is computed. Each case leaves
FOLDER/CASE/two and FOLDER/CASE/one, or what its processes printed and how they ended.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # edgeft.outcome sets it, here after the import

import torch
import torch.distributed as dist
from torch import nn

from edgeft import cli, ranks
from edgeft.tuning import batchnorm, processes, qat
from edgeft.tuning.run import tune as _  # noqa: F401  imported before the fork, once for all
from tests.tuning import small

WORLD, LONGEST_S = 2, 1500.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def begin(act: Callable[[int], Any], folder: Path) -> list[int]:
    """Start `act(rank)` in processes that know of each other as torchrun tells them; what they print is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, started = free_port(), []
    for rank in range(WORLD):
        pid = os.fork()
        if pid == 0:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD), "LOCAL_WORLD_SIZE": str(WORLD),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(folder / f"{name}-{rank}.txt", os.O_WRONLY | os.O_CREAT, 0o644), stream)
            code = 70
            try:
                code = act(rank) or 0
            except SystemExit as leave:
                code = int(leave.code or 0)
            finally:
                sys.stdout.flush()
                os._exit(code)
        started.append(pid)
    return started


def end(started: list[int], folder: Path) -> None:
    """Wait for them, and write how each ended and how long all took; one that hangs is ended."""
    codes, begun_s = {}, time.monotonic()
    while len(codes) < WORLD and time.monotonic() - begun_s < LONGEST_S:
        for rank, pid in enumerate(started):
            if rank not in codes and (found := os.waitpid(pid, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(found[1])
        time.sleep(0.1)
    for rank, pid in enumerate(started):
        if rank not in codes:
            os.kill(pid, signal.SIGKILL)
            codes[rank] = "hung"
    (folder / "codes.json").write_text(json.dumps([codes[rank] for rank in range(WORLD)]))


def table(folder: Path) -> Path:
    dataset = small.text_dataset(folder / "texts", {"train": 20, "validation": 13, "test": 12})
    for split, examples in dataset.splits.items():
        with open(folder / "texts" / f"{split}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label"])
            rows.writerows([example.content, dataset.labels[example.label]] for example in examples)
    return folder / "texts"


def commands(folder: Path) -> dict[str, list[str]]:
    """Arguments of `edgeft tune` by case, but for --output."""
    texts = table(folder)
    small.image_dataset(folder / "images", {"train": 10, "validation": 5, "test": 5})
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # dropout draws for each process
    bert = small.save_bert(folder / "bert", **still)
    vit = small.save_vit(folder / "vit", labels=3)  # not the two of the data: the head is made anew, by a probe
    common = ["tune", "--device", "cpu", "--calibration-samples", "16"]
    return {
        "text": [*common, "-m", str(bert), "-d", str(texts), "--freeze", "none", "--lr", "1e-3", "--epochs", "2",
                 "--batch-size", "8", "--qat-epochs", "2", "--qat-lr", "1e-4", "--learn-ranges", "0.5"],
        "image": [*common, "-m", str(vit), "-d", str(folder / "images"), "--epochs", "2", "--batch-size", "6",
                  "--scheme", "none", "--augment", "crop", "--views", "2"],
    }  # fmt: skip


def norm_case(folder: Path) -> Callable[[int], Any]:
    """BatchNorm over both halves of a batch, and its gradients."""

    def act(rank: int) -> None:
        with processes.joined():
            torch.manual_seed(0)
            x, weights = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
            start, stop = (0, 2) if rank == 0 else (2, 6)
            norm, part = nn.BatchNorm2d(3), x[start:stop].clone().requires_grad_()
            with batchnorm.synchronised(norm):
                (norm(part) * weights[start:stop]).sum().backward()
            norm.weight.grad = norm.weight.grad.clone()
            dist.all_reduce(norm.weight.grad)
            torch.save([part.grad, norm.weight.grad, norm.running_mean, norm.running_var], folder / f"{rank}.pt")

    return act


def failing(command: list[str], output: Path) -> Callable[[int], Any]:
    """The second process fails in the middle of training; the first waits for its gradients then."""

    def act(rank: int) -> Any:
        from edgeft.errors import ModelError
        from edgeft.tuning.trainer import PhaseTrainer

        step = PhaseTrainer.training_step

        def broken(self: Any, *args: Any, **rest: Any) -> Any:
            if rank == 1 and self.state.global_step == 2:
                raise ModelError("the second process met something", "do something else")
            return step(self, *args, **rest)

        PhaseTrainer.training_step = broken
        cli.main([*command, "--output", str(output)])

    return act


def keep_trained() -> None:
    """Have every run leave the quantized model it trained beside its folder, whether it keeps it or not."""
    train = qat.train_quantized

    def kept(quantized: Any, *args: Any, folder: Path, **rest: Any) -> Any:
        trained = train(quantized, *args, folder=folder, **rest)
        if ranks.first():
            torch.save(quantized.graph.state_dict(), folder.with_name(f"{folder.name}-trained.pt"))
        return trained

    qat.train_quantized = kept


def main(folder: Path) -> None:
    keep_trained()
    given = commands(folder)
    for name, command in given.items():
        os.environ["EDGEFT_CACHE"] = str(folder / name / "cache-two")
        output = ["--output", str(folder / name / "two")]
        end(begin(lambda rank, all=[*command, *output]: cli.main(all), folder / name), folder / name)
    end(begin(norm_case(folder / "norm"), folder / "norm"), folder / "norm")
    end(begin(failing(given["text"], folder / "failed" / "run"), folder / "failed"), folder / "failed")
    searching = [*given["text"], "--search", "2", "--output", str(folder / "search" / "run")]
    end(begin(lambda rank: cli.main(searching), folder / "search"), folder / "search")
    resumed = [*given["text"], "--resume", "--output", str(folder / "failed" / "run")]
    end(begin(lambda rank: cli.main(resumed), folder / "resumed"), folder / "resumed")
    for name, command in given.items():
        os.environ["EDGEFT_CACHE"] = str(folder / name / "cache-one")
        try:
            cli.main([*command, "--output", str(folder / name / "one")])
        except SystemExit as leave:
            assert not leave.code, (name, leave.code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
