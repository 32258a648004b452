"""Other tools' ways to an int8 file, each at the settings its documentation gives for this kind of model.

A peer takes the same float model (as ONNX, or as torch module) and the same calibration samples as edgeft, and writes
one ONNX file:

    python -m benchmarks.peers RUN BUNDLE SAMPLES NAME TARGET
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeft.bundle import Bundle
from edgeft.exporting.sources import load
from edgeft.runfolder import Run
from edgeft.tasks import TASKS

_BATCH = 32

Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Job:
    """What every peer is given.

    float_file   the float32 file of the bundle, ONNX
    load         loads the fine-tuned transformers model, in eval mode
    feeds        encoded calibration samples, batches of `batch`, by input name
    transformer  is it an attention model? Some tools ask
    """

    float_file: Path
    load: Callable[[], Any]
    feeds: Sequence[Feed]
    transformer: bool

    def singles(self) -> list[Feed]:
        """The samples one by one; texts without their padding."""
        rows = []
        for feed in self.feeds:
            for i in range(len(next(iter(feed.values())))):
                length = int(feed["attention_mask"][i].sum()) if "attention_mask" in feed else None
                rows.append(
                    {name: array[i : i + 1][:, :length] if length else array[i : i + 1] for name, array in feed.items()}
                )
        return rows


def job_of(run: Run, bundle: Bundle, samples: int) -> Job:
    """The float model and the first `samples` of the calibration samples of `run`, encoded as the device does."""
    task = TASKS.load(run.task)
    encoder = task.encoder(run.preprocessing, run.path)
    chosen = set(json.loads((run.quantized / "calibration.json").read_text())["ids"][:samples])
    examples = [example.content for example in run.examples("train") if example.id in chosen]
    feeds = [encoder(examples[start : start + _BATCH]) for start in range(0, len(examples), _BATCH)]
    names = [spec["name"] for spec in bundle.document["inputs"]]
    return Job(
        bundle.file_of("float32"),
        lambda: load(run.float_model, task.auto_model, run.labels),
        [{name: feed[name] for name in names} for feed in feeds],
        "attention_mask" in names,
    )


class _Reader:
    """onnxruntime's calibration data reader over feeds."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._left, None)


def _prepared(job: Job, folder: str) -> str:
    """What onnxruntime's manual says to do first. Symbolic shape inference fails on dynamo-exported encoders."""
    from onnxruntime.quantization import quant_pre_process

    path = str(Path(folder) / "prepared.onnx")
    quant_pre_process(str(job.float_file), path, skip_symbolic_shape=job.transformer)
    return path


def ort_static_defaults(job: Job, target: Path) -> None:
    """quantize_static with nothing but the data."""
    from onnxruntime.quantization import quantize_static

    with TemporaryDirectory() as folder:
        quantize_static(_prepared(job, folder), str(target), _Reader(job.singles()))


def ort_static(job: Job, target: Path) -> None:
    """quantize_static as its manual advises for x86 with VNNI: u8 activations, s8 weights per channel."""
    from onnxruntime.quantization import QuantType, quantize_static

    with TemporaryDirectory() as folder:
        quantize_static(
            _prepared(job, folder), str(target), _Reader(job.singles()), per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip


def ort_dynamic(job: Job, target: Path) -> None:
    """quantize_dynamic, weights per channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory() as folder:
        quantize_dynamic(_prepared(job, folder), str(target), per_channel=True, weight_type=QuantType.QInt8)


def ort_transformer_dynamic(job: Job, target: Path) -> None:
    """onnxruntime's transformer optimizer, then quantize_dynamic: its manual's way for BERT on CPU."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model

    config = job.load().config
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "fused.onnx")
        fused = optimize_model(
            str(job.float_file), "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size,
            opt_level=1, use_gpu=False,
        )  # fmt: skip
        fused.save_model_to_file(path)
        quantize_dynamic(path, str(target), per_channel=True, weight_type=QuantType.QInt8)


def nncf(job: Job, target: Path) -> None:
    """nncf.quantize on the ONNX file."""
    import nncf as tool

    options = {"model_type": tool.ModelType.TRANSFORMER} if job.transformer else {}
    feeds = job.singles()
    model, samples = onnx.load(str(job.float_file)), tool.Dataset(feeds)
    quantized = tool.quantize(model, samples, subset_size=len(feeds), target_device=tool.TargetDevice.CPU, **options)
    onnx.save(quantized, str(target))


def _exported(job: Job, target: Path, **options: Any) -> None:
    """What transformers' OnnxExporter writes with these options of its configuration, in one file."""
    import onnx_ir
    import torch
    from transformers.exporters import OnnxConfig, OnnxExporter

    sample = {name: torch.from_numpy(np.array(array[:2])) for name, array in job.feeds[0].items()}
    exported = OnnxExporter().export(job.load(), sample, config=OnnxConfig(dynamic=True, **options))
    onnx_ir.save(exported.program, str(target))


def transformers_pt2e(job: Job, target: Path) -> None:
    """transformers' exporter with torchao's PT2E quantization for x86."""
    import torch
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )
    from transformers.exporters import PT2EQuantizer

    x86 = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    samples = [{name: torch.from_numpy(np.array(array)) for name, array in feed.items()} for feed in job.feeds]
    _exported(job, target, quantizer=PT2EQuantizer(x86, calibration_dataset=samples))


def transformers_dynamic(job: Job, target: Path) -> None:
    """transformers' exporter with its fusions for CPU and onnxruntime's dynamic quantization."""
    from onnxruntime.quantization import QuantType
    from transformers.exporters import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    dynamic = OnnxRuntimeDynamicConfig(per_channel=True, weight_type=QuantType.QInt8)
    _exported(job, target, ort_fusions="cpu", quantizer=OnnxRuntimeQuantizer(dynamic))


PEERS: dict[str, Callable[[Job, Path], None]] = {
    "ort-static-defaults": ort_static_defaults,
    "ort-static": ort_static,
    "ort-dynamic": ort_dynamic,
    "ort-transformer-dynamic": ort_transformer_dynamic,
    "nncf": nncf,
    "transformers-pt2e": transformers_pt2e,
    "transformers-dynamic": transformers_dynamic,
}


def main(run: str, bundle: str, samples: str, name: str, target: str) -> None:
    unfinished = Path(target).with_suffix(".unfinished.onnx")
    PEERS[name](job_of(Run.open(Path(run)), Bundle.open(Path(bundle)), int(samples)), unfinished)
    os.replace(unfinished, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
