"""What an option is when nobody gave it, and where it can run."""

from __future__ import annotations

import os

import torch

from edgeft.errors import MachineError, UsageError

# Peak learning rates of the float phase for AdamW at 32 examples a step, found in short trials
# (EfficientNet-Lite0 on photographs, MiniLM on short texts).
_LR_HEAD = {"image": 3e-3, "text": 3e-3}
_LR_BODY = {"image": 5e-4, "text": 1e-4}
_AUTO_BATCH = 32


def learning_rate(given: float | None, freeze: str, content: str) -> float:
    """The --lr given, else by what learns: a head alone takes larger steps than a pretrained body bears."""
    if given is not None:
        return given
    return (_LR_HEAD if freeze == "backbone" else _LR_BODY)[content]


def batch_size(given: int | str) -> int:
    return _AUTO_BATCH if given == "auto" else int(given)


def device(given: str) -> torch.device:
    """--device auto|cpu|cuda[:N]. Raises MachineError when there is no such GPU."""
    if given == "cpu" or (given == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    _, _, number = given.partition(":")
    if number and not torch.cuda.is_initialized():
        # Trainer takes the first GPU it sees; let it see the one asked for. Must come before CUDA starts.
        os.environ["CUDA_VISIBLE_DEVICES"] = number
    if not torch.cuda.is_available():
        raise MachineError(f"--device {given}: torch sees no such GPU here", "use --device cpu, or see edgeft doctor")
    return torch.device("cuda", 0)


def precision(given: str, where: torch.device) -> str:
    """--precision resolved: "fp32", "bf16" or "fp16" (arithmetic only; weights are always kept in fp32)."""
    if given == "auto":
        return "bf16" if where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if given == "fp16" and where.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU", "use --precision bf16 or fp32 on a CPU")
    return given
