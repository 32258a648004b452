"""The acts of `edgeft export`; run.py tells their order."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edgeft import console, files
from edgeft.bundle import MANIFEST
from edgeft.data.dataset import Example
from edgeft.errors import FolderError, GateFailed, UsageError
from edgeft.exporting.again import calibration_samples
from edgeft.exporting.ceilings import Versions
from edgeft.exporting.costs import write_costs
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.grids import Grids, trained_state, tune_command
from edgeft.exporting.judge import Judged, judge
from edgeft.exporting.samples import Trial
from edgeft.exporting.variants import FLOAT16, FLOAT32, INTEGER, Maker
from edgeft.exporting.write import write
from edgeft.profile import GENERIC, Profile, load_profile
from edgeft.quant.calibration import calibrate_on
from edgeft.quant.choice import RANKED
from edgeft.quant.held import held, score_of
from edgeft.quant.sensitivity import Switchboard, measure
from edgeft.runfolder import Run
from edgeft.scheme import SCHEMES, Scheme
from edgeft.tasks.eval_examples import write_examples
from edgeft.tasks.task import Encoder, Task, TensorSpec

_GIVEN = "the model as given"
_TUNED = "the fine-tuned float model"
# Execution providers whose processors compute in float16 faster than in float32.
_COMPUTE_IN_HALF = frozenset(
    {
        "CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider", "ROCMExecutionProvider",
        "MIGraphXExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider", "WebGpuExecutionProvider",
    }
)  # fmt: skip
# onnxruntime rewrites int8 activations to uint8 on x86, half-way only; ARM leaves them as they are, and so does this.
_INT8_ACTIVATIONS = {"session.qdqisint8allowed": "1"}


def find_profile(given: str | None, run: Run) -> Profile:
    return load_profile(given or run.profile_name or GENERIC)


def choose_variants(run: Run, profile: Profile, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The variants to write: those asked for, or original, float32, for a GPU float16, and the run's quantized ones.

    Raises UsageError for quantized files that are called otherwise in this run.
    """
    name = "int8" if run.scheme_name == "none" else SCHEMES.load(run.scheme_name).variant
    own = (f"{name}-ptq", name)
    if asked is None:
        half = (FLOAT16,) if profile.providers[0] in _COMPUTE_IN_HALF else ()
        return ("original", FLOAT32, *half, *own)
    foreign = [each for each in asked if each in INTEGER and each not in own]
    if foreign and run.scheme_name != "none":
        raise UsageError(
            f"the run {run.path} has no {foreign[0]}: it was tuned for {SCHEMES.load(run.scheme_name).title}",
            f"its quantized models are called {own[0]} and {own[1]}",
        )
    return tuple(asked)


def refuse_sensitivity(asked: bool, grids: Grids | None) -> None:
    if asked and grids is None:
        raise UsageError(
            "--sensitivity measures what quantizing costs, and only float files are asked for",
            "add int8-ptq to --variants, or leave it out",
        )

def say_change(run: Run, profile: Profile, grids: Grids | None, asked: Sequence[str]) -> None:
    """Warn when the trained model does not serve the target, and what is written in its place."""
    if grids is None or grids.trained.trained_as == grids.stored.trained_as:
        return
    dropped = [name for name in asked if name not in grids.variants]
    left_out = f"{', '.join(dropped)} is left out; to train it, type {tune_command(run, profile)}" if dropped else ""
    console.warn(
        f"the run was trained for {grids.trained.title}, and {profile.title} computes with {grids.stored.title}: "
        f"int8-ptq is calibrated again on the run's training samples. {left_out}".rstrip()
    )


def sensitivity(maker: Maker, run: Run, task: Task, encoder: Encoder, folder: Path) -> dict[str, Any]:
    """Measure what quantizing each layer of int8-ptq costs, write sensitivity.json, and return the manifest's part."""
    model = maker.calibrated()
    calibrate_on(model, encoder, *calibration_samples(run, task, encoder), apart=True)
    seed, validation = int(run.document["seed"]), task.queries(run.examples("validation"), encoder)
    samples = held(encoder, validation, RANKED, seed, torch.device("cpu"))
    score = score_of(task, run.labels, samples)
    board = Switchboard(model, samples.batches, lambda logits: score(logits, samples.labels))
    with board, console.bar("quantizing layer by layer", len(board.wiring.layers), "layers") as bar:
        found = measure(board, lambda: bar.advance(1))
    return write_costs(found, run.metric, folder)


def refuse_place(output: Path, run: Path) -> None:
    """The bundle takes the whole place of --output: never that of a run, or of a folder edgeft did not write."""
    output, run = Path(output).absolute(), Path(run).absolute()
    if output == run or output in run.parents:
        raise UsageError(f"--output {output} would take the place of the run", "choose another --output")
    if output.is_file():
        raise FolderError(f"{output} is a file", "choose another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise FolderError(f"{output} is not empty and is no bundle", "choose another --output, or empty it")
    files.refuse_unwritable(output)


def original_is(run: Run) -> str:
    return _GIVEN if run.original_answers_task else _TUNED


def trained_title(run: Run) -> str:
    if trained_state(run) == "trained":
        return "trained quantization-aware"
    if not run.document["settings"].get("qat_epochs"):
        return "calibrated: no quantization-aware epoch was trained"
    return "calibrated: quantization-aware training made it no better on validation"


def device_preprocessing(run: Run, scheme: Scheme | None) -> dict[str, Any]:
    """How the device prepares inputs: as in training, but with texts padded to the longest where sizes are fixed, and
    sounds of free length to the longest that is read."""
    how = run.preprocessing
    if scheme is None or not scheme.static_shapes:
        return how
    return {**how, **{fixed: how[limit] for limit, fixed in _FIXED_BY.items() if limit in how and fixed not in how}}


# Limit in a preprocessing description -> the size that is fixed at it.
_FIXED_BY = {"max_length": "pad_to", "most_samples": "samples"}


def device_shapes(specs: Sequence[TensorSpec], scheme: Scheme | None) -> tuple[TensorSpec, ...]:
    """Inputs or outputs as the files declare them: one query at a time where the target's sizes are fixed."""
    if scheme is None or not scheme.static_shapes:
        return tuple(specs)
    return tuple(replace(spec, shape=(1, *spec.shape[1:])) for spec in specs)


def device_output(task: Task, n_labels: int, inputs: Sequence[TensorSpec], scheme: Scheme | None) -> TensorSpec:
    """The output as the files declare it: a size that it has from an input is fixed where that input's is."""
    (output,) = device_shapes([task.output_spec(n_labels)], scheme)
    fixed = inputs[0].shape[1] if len(inputs[0].shape) > 1 else None
    sizes = (fixed if size == "sequence" and isinstance(fixed, int) else size for size in output.shape)
    return replace(output, shape=tuple(sizes))


def plan_lines(
    run: Run, profile: Profile, grids: Grids | None, versions: Versions, variants: Sequence[str], output: Path
) -> list[str]:
    return [
        f"run: {run.path}, {run.task} with {len(run.labels)} labels",
        f"target: {profile.title}; {grids.line if grids is not None else 'float files only'}",
        f"original is {original_is(run)}",
        f"ONNX opset {versions.opset}, IR version {versions.ir_version}",
        f"writes: {output}/ {', '.join(f'{name}.onnx' for name in variants)}, manifest.json, export.md, eval/",
    ]


def make_and_judge(
    name: str, maker: Maker, folder: Path, task: Task, labels: Sequence[str], trial: Trial
) -> Judged:
    """Make one variant, write its file, and judge the file."""
    made = maker.make(name)
    path = write(made.graph, folder / f"{name}.onnx")
    scheme = maker.stored_scheme if name in INTEGER else None
    artifact = Artifact(
        name,
        path,
        maker.inputs,
        maker.output,
        trial.batches,
        trial.ids,
        made.expected,
        made.predicted_bytes,
        made.float_nodes,
        _options(scheme),
        made.reordered,
        made.as_written,
    )
    return judge(name, made, artifact, task, labels, trial)


def _options(scheme: Scheme | None) -> Mapping[str, str]:
    return _INT8_ACTIVATIONS if scheme is not None and scheme.activation.dtype == "s8" else {}


def carry_tokenizer(run: Run, folder: Path) -> None:
    """The tokenizer of a task that reads text, as the device reads it."""
    name = run.preprocessing.get("tokenizer")
    if name is not None:
        shutil.copyfile(run.path / name, folder / name)


def carry_examples(folder: Path, examples: Sequence[Example], labels: Sequence[str]) -> dict[str, Any]:
    return write_examples(folder, examples, labels)


def summary_lines(judged: Sequence[Judged], output: Path) -> list[str]:
    width = max(len(each.name) for each in judged)
    lines = [f"{'':<{width}}  {'MB':>8}  integer products  checks"]
    for each in judged:
        integer = f"{sum(product.integer for product in each.products)} of {len(each.products)}"
        verdict = f"{len(each.failed)} failed" if each.failed else "passed"
        lines.append(f"{each.name:<{width}}  {each.bytes / 1e6:>8.2f}  {integer:>16}  {verdict}")
    return [*lines, f"written: {output}, report in {output / 'export.md'}"]


def raise_failed(judged: Sequence[Judged], output: Path, archive: bool) -> None:
    """Raises GateFailed that names gates, nodes, what was written and what was not."""
    failed = [outcome for each in judged for outcome in each.failed]
    if not failed:
        return
    for outcome in failed:
        console.warn(f"{outcome['variant']}: {outcome['gate']} failed: {outcome['evidence']}")
    names = ", ".join(f"{outcome['variant']} ({outcome['gate']})" for outcome in failed)
    missing = "; the archive was not written" if archive else ""
    raise GateFailed(
        f"{output} was written and is marked as failed: {names}{missing}", f"read {output / 'export.md'}"
    )
