"""What an option is when nobody gave it, and where it can run."""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from edgeft import console, ranks
from edgeft.errors import MachineError, UsageError, did_you_mean
from edgeft.tuning.architecture import head_names

# Loader processes for one GPU: more would wait for the file system, or for the training process to take their batches.
_MOST_WORKERS = 8
_SHARED_MEMORY = "/dev/shm"
# As it was before `device` narrowed it.
_VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES")
# Two batches of 32 images of 224 x 224 x 3 float32 that a loader process has ready, and as much again.
_WORKER_BYTES = 4 * 32 * 224 * 224 * 3 * 4

# Peak rates of the float phase for AdamW at 32 examples a step.
_LR_HEAD = 3e-3
# Adapters beside the pretrained layers. MiniLM on 7,500 short texts, 2 epochs, test accuracy: 1e-3 0.776, 2e-3 0.892,
# 3e-3 0.867, 6e-3 no better than chance. 2e-3 is five times what the weights of that width would bear themselves.
_LR_ADAPTERS, _ADAPTERS_OF_BODY = 2e-3, 5
# Convolutions with BatchNorm. EfficientNet-Lite0 on 800 photographs, 2 epochs, validation / test accuracy:
# 3e-4 0.733 / 0.755, 1e-3 0.824 / 0.792.
_LR_BATCH_NORM = 1e-3
# Transformers bear less the wider they are. MiniLM (width 384) on 6,000 short texts, 1 epoch, test accuracy: 2e-4
# without a larger rate for the new head 0.527; with it 3e-4 0.812, 6e-4 0.870. At 768 it is near what BERT-base is
# usually tuned with (arXiv 1810.04805: 2e-5 to 5e-5, over more steps).
_LR_WIDTH_768 = 1e-4
_LR_BODY = (2e-5, 5e-4)


def learning_rate(given: float | None, freeze: str, model: nn.Module) -> float:
    """The --lr given, else by what learns: a head alone takes larger steps than a pretrained body bears."""
    if given is not None:
        return given
    return _BY_KIND.get(freeze, _of_body)(model)


def _of_head(model: nn.Module) -> float:
    return _LR_HEAD


def _of_adapters(model: nn.Module) -> float:
    return min(_LR_ADAPTERS, _ADAPTERS_OF_BODY * _of_body(model))


def _of_body(model: nn.Module) -> float:
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return _LR_BATCH_NORM
    low, high = _LR_BODY
    return min(high, max(low, _LR_WIDTH_768 * (768 / _width(model)) ** 2))


_BY_KIND = {"backbone": _of_head, "lora": _of_adapters}


def _width(model: nn.Module) -> int:
    """Size of the vectors the head reads."""
    layers = [layer for name in head_names(model) for layer in model.get_submodule(name).modules()]
    return next((layer.in_features for layer in layers if isinstance(layer, nn.Linear)), 768)


# Share of a label spread over all classes (arXiv 1512.00567 uses 0.1 on ImageNet).
_SMOOTHING = {"image": 0.1}


def label_smoothing(given: float | None, content: str) -> float:
    """The --label-smoothing given, else by what the examples are."""
    return _SMOOTHING.get(content, 0.0) if given is None else given


def workers(given: int | None, where: torch.device) -> int:
    """--workers, by default as many as keep a GPU fed, and none beside a CPU that trains; 0 where shared memory is too
    small for loader processes, which would die with a bus error."""
    if given is None:
        own = len(os.sched_getaffinity(0)) // ranks.world_here() if hasattr(os, "sched_getaffinity") else 1
        given = 0 if where.type == "cpu" else min(_MOST_WORKERS, max(own - 1, 1))
    if given == 0 or not os.path.isdir(_SHARED_MEMORY):
        return given
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free >= given * _WORKER_BYTES:
        return given
    console.warn(
        f"{_SHARED_MEMORY} has {free / 2**20:.0f} MB free, too little for {given} loader processes: going on without "
        "(docker run --shm-size=1g gives more)"
    )
    return 0


def tracker(given: str) -> str:
    """--report-to. Raises UsageError for a name transformers does not know, MachineError for one not installed."""
    if given in ("none", "all"):
        return given
    if given not in INTEGRATION_TO_CALLBACK:
        raise UsageError(f"--report-to {given} is no tracker", did_you_mean(given, ["none", *INTEGRATION_TO_CALLBACK]))
    if given not in get_available_reporting_integrations():
        raise MachineError(f"--report-to {given} is not installed", f"pip install {given}, or leave --report-to out")
    return given


def device(given: str) -> torch.device:
    """--device auto|cpu|cuda[:N]. Raises MachineError when there is no such GPU.

    Each process uses one GPU. That others are left out is said; of several processes each takes the one with its
    number on this machine.
    """
    if given == "cpu" or (given == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    _, _, number = given.partition(":")
    if number and not torch.cuda.is_initialized():
        # Trainer takes the first GPU it sees; let it see the one asked for. Must come before CUDA starts.
        os.environ["CUDA_VISIBLE_DEVICES"] = _named(number)
    if not torch.cuda.is_available():
        raise MachineError(f"--device {given}: torch sees no such GPU here", "use --device cpu, or see edgeft doctor")
    if ranks.world() > 1:
        return _own_gpu(given)
    if (others := torch.cuda.device_count() - 1) > 0:
        console.say(
            f"{others + 1} GPUs are visible, and one trains: {torch.cuda.get_device_name(0)} (the first; --device "
            f"cuda:N takes another; torchrun --nproc-per-node {others + 1} -m edgeft tune … uses all)"
        )
    return torch.device("cuda", 0)


def _own_gpu(given: str) -> torch.device:
    """The GPU of this process among several on this machine."""
    there, number = torch.cuda.device_count(), ranks.number_here()
    if ":" in given:
        raise UsageError(f"--device {given} is one GPU for {ranks.world()} processes", "use --device cuda or auto")
    if number >= there:
        raise MachineError(
            f"process {number} of {ranks.world_here()} on this machine has no GPU of its own: torch sees {there}",
            f"start {there} processes a machine, or use --device cpu",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _named(number: str) -> str:
    """What CUDA_VISIBLE_DEVICES has to be for GPU `number` of those that this process may see, as cuda:N counts them.

    A number that is not among them names none, and CUDA then finds none.
    """
    if _VISIBLE is None:
        return number
    names = [name.strip() for name in _VISIBLE.split(",") if name.strip()]
    return names[int(number)] if int(number) < len(names) else ""


def precision(given: str, where: torch.device) -> str:
    """--precision resolved: "fp32", "bf16" or "fp16" (arithmetic only; weights are always kept in fp32)."""
    if given == "auto":
        return "bf16" if where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if given == "fp16" and where.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU", "use --precision bf16 or fp32 on a CPU")
    return given
