"""Opening a model in onnxruntime, with the same settings for every variant, and running it."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeft import console
from edgeft.errors import MachineError, ModelError, ProfileError, did_you_mean
from edgeft.evaluation import providers
from edgeft.evaluation.schedule import BlockRule
from edgeft.evaluation.timing import InProcess, Pace, Ticks
from edgeft.machine import allowed_cpus, default_threads, preferred_cpus
from edgeft.profile import Profile

Feed = Mapping[str, NDArray[Any]]

GRAPH_LEVELS = ("disable_all", "basic", "extended", "layout", "all")
_LEVEL_NAMES = {
    "disable_all": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True)
class Settings:
    """Everything about a session that changes its speed; equal for all variants of an evaluation.

    provider     execution provider asked for; what it does not take goes to those of `fallbacks`
    threads      threads inside an operator
    spinning     idle threads burn CPU to answer sooner; off for paced runs (0.8 CPU seconds a second otherwise)
    graph_level  below "extended" every Quantize/Dequantize pair runs in float
    attributes   further attributes of onnxruntime.SessionOptions, from the profile
    affinity     logical CPUs the process keeps to; empty = wherever it may run
    config       further config entries of the session ("session.…"), from the profile
    ep_options   options of the provider, from the profile
    fallbacks    provider -> options, of the profile's providers behind it, in their order; the CPU is last
    """

    provider: str = providers.CPU
    threads: int = 1
    inter_threads: int = 1
    spinning: bool = True
    graph_level: str = "all"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    affinity: tuple[int, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    ep_options: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: providers.Options = field(default_factory=dict)

    def chain(self, there: Sequence[str]) -> providers.Options:
        """Provider -> options that a session gets, of those that this onnxruntime has (`there`)."""
        return providers.chain(self.provider, self.ep_options, self.fallbacks, there)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "affinity": list(self.affinity)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Settings:
        return Settings(**{**document, "affinity": tuple(document["affinity"])})


def settings_for(profile: Profile, provider: str | None, threads: int | None, paced: bool) -> Settings:
    """What the user asked for, else what the profile says. Raises ProfileError for a graph level there is not."""
    attributes = dict(profile.session_options)
    level = attributes.pop("graph_optimization_level", "all")
    if level not in GRAPH_LEVELS:
        raise ProfileError(
            f"profile {profile.id}: graph_optimization_level = {level!r} is not right",
            did_you_mean(level, GRAPH_LEVELS),
        )
    preferred, chosen = preferred_cpus(profile), provider or profile.providers[0]
    return Settings(
        provider=chosen,
        threads=threads or default_threads(profile),
        spinning=not paced,
        graph_level=level,
        attributes=attributes,
        affinity=preferred if len(preferred) < allowed_cpus() else (),
        config=profile.session_config,
        ep_options=profile.provider_options.get(chosen, {}),
        fallbacks=providers.behind(chosen, profile.providers, profile.provider_options),
    )


@contextmanager
def kept_to(cpus: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Keep this process to some CPUs while models are loaded and run: their threads inherit it. Empty = no change.

    Gives the CPUs it is kept to: none, with a warning, where a container does not allow it.
    """
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield ()
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        console.warn(f"this process cannot be kept to CPUs {', '.join(map(str, cpus))} ({error}): it runs on any")
        yield ()
        return
    try:
        yield cpus
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


class Model(Protocol):
    """One open variant. Tests put scripted ones here.

    inputs       input name -> numpy dtype name the model declares
    fixed_batch  the batch size the model is frozen to, or None when it is free
    call         takes a feed, returns the list of outputs
    time         nanoseconds of one call after the other, see edgeft.evaluation.timing
    away_ns      what calls so far took on their way to another process and back; 0 in this one
    close        nothing runs after it
    """

    @property
    def inputs(self) -> Mapping[str, str]: ...

    @property
    def fixed_batch(self) -> int | None: ...

    @property
    def call(self) -> Callable[[Feed], Any]: ...

    @property
    def away_ns(self) -> int: ...

    def time(
        self, feeds: Sequence[Feed], rule: BlockRule, pace: Pace, ticks: Ticks, first: int = 0
    ) -> NDArray[np.int64]: ...

    def close(self) -> None: ...


class OrtModel(InProcess):
    """A variant in an onnxruntime session."""

    def __init__(self, session: Any, output: str) -> None:
        self.session = session
        self.inputs: dict[str, str] = {entry.name: _dtype(entry) for entry in session.get_inputs()}
        first = session.get_inputs()[0].shape
        self.fixed_batch = int(first[0]) if first and isinstance(first[0], int) else None
        # A partial adds some 50 ns to a query; a Python method would add several times that to what is timed.
        self.call: Callable[[Feed], Any] = functools.partial(session.run, [output])


def _dtype(entry: Any) -> str:
    if entry.type not in _DTYPES:
        raise ModelError(
            f"the input {entry.name!r} is a {entry.type}, which edgeft cannot feed", "export the run again"
        )
    return _DTYPES[entry.type]


def open_model(path: Path, settings: Settings, output: str, profile_prefix: Path | None = None) -> OrtModel:
    """Load `path`. Raises MachineError for a provider that is not there, ModelError for a model that cannot load."""
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    there = ort.get_available_providers()
    if settings.provider not in there:
        raise MachineError(
            f"onnxruntime {ort.__version__} has no {settings.provider} here, only {', '.join(there)}",
            "install the onnxruntime build for that provider, or choose one of these with --provider",
        )
    chain = settings.chain(there)
    _load_gpu_libraries(ort, chain)
    options = _session_options(ort, settings, profile_prefix)
    try:
        session = ort.InferenceSession(
            str(path), options, providers=[(name, dict(given)) for name, given in chain.items()]
        )
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise load_error(path.name, str(error), ort.__version__) from error
    if settings.provider not in session.get_providers():
        raise MachineError(
            f"{settings.provider} does not start here, and onnxruntime would go on without it on "
            f"{session.get_providers()[0]}",
            "install its driver and libraries (for NVIDIA: pip install 'onnxruntime-gpu[cuda,cudnn]'), or choose "
            "another with --provider",
        )
    names = [entry.name for entry in session.get_outputs()]
    if output not in names:
        raise ModelError(f"{path.name} has no output {output!r}, only {', '.join(names)}", "export the run again")
    return OrtModel(session, output)


_NVIDIA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def _load_gpu_libraries(ort: Any, chain: Iterable[str]) -> None:
    """CUDA and cuDNN as Python packages lie where the dynamic linker does not look; onnxruntime (1.21 and later) finds
    them when asked to. It says on the terminal what it cannot find, which the session then says better."""
    if not set(_NVIDIA).isdisjoint(chain) and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ort.preload_dlls()


def _session_options(ort: Any, settings: Settings, profile_prefix: Path | None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = settings.inter_threads
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVEL_NAMES[settings.graph_level])
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(settings.spinning)))
    for name, value in settings.config.items():
        options.add_session_config_entry(name, str(value))
    for name, value in settings.attributes.items():
        if not hasattr(options, name):
            raise ProfileError(
                f"onnxruntime's SessionOptions has no {name!r}", "correct session_options in the profile"
            )
        setattr(options, name, value)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    return options


_IR = re.compile(r"IR version: (\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*?till opset (\d+)", re.DOTALL)
_NO_KERNEL = re.compile(r"Could not find an implementation for (\S+) node")


def load_error(name: str, message: str, version: str) -> ModelError:
    """onnxruntime's message `message` as a line with the numbers and the command that helps."""
    if found := _IR.search(message):
        return ModelError(
            f"{name} has ONNX IR version {found[1]}, and onnxruntime {version} here reads up to {found[2]}",
            "export again for this machine: edgeft export RUN --profile NAME (its max_ir is kept to), "
            "or install a newer onnxruntime",
        )
    if found := _OPSET.search(message):
        return ModelError(
            f"{name} has ONNX opset {found[1]}, and onnxruntime {version} here takes up to {found[2]}",
            f"export again: edgeft export RUN --opset {found[2]}, or install a newer onnxruntime",
        )
    if found := _NO_KERNEL.search(message):
        return ModelError(
            f"onnxruntime {version} here has no kernel for {found[1]} in {name}",
            "export again for this machine's profile: edgeft export RUN --profile NAME, or install a newer onnxruntime",
        )
    return ModelError(f"{name} does not load in onnxruntime {version}: {message}", "export the run again")


def feed_for(model: Model, arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """`arrays` as `model` declares its inputs: only those it has, in its dtypes, repeated up to a fixed batch.

    Raises ModelError when the model wants an input that the preprocessing does not make, or the batch is too large.
    """
    missing = [wanted for wanted in model.inputs if wanted not in arrays]
    if missing:
        raise ModelError(
            f"{name} wants the input {missing[0]!r}, and the preprocessing makes {', '.join(arrays)}",
            "export the run again",
        )
    feed = {key: np.asarray(arrays[key], dtype=dtype) for key, dtype in model.inputs.items()}
    if model.fixed_batch is None:
        return feed
    return {key: _filled(value, model.fixed_batch) for key, value in feed.items()}


def _filled(value: NDArray[Any], batch: int) -> NDArray[Any]:
    if len(value) > batch:
        raise ModelError(f"the model takes batches of {batch}, not {len(value)}", "use --scenario single-stream")
    return np.concatenate([value, np.repeat(value[-1:], batch - len(value), axis=0)])


def run_logits(model: Model, feed: Feed, n: int, name: str) -> NDArray[np.float32]:
    """Logits of the first `n` rows. Raises ModelError when the runtime refuses the input."""
    try:
        output = model.call(feed)[0]
    except Exception as error:
        shapes = ", ".join(f"{key} {value.dtype}{list(value.shape)}" for key, value in feed.items())
        raise ModelError(f"{name} does not run on {shapes}: {error}", "export the run again") from error
    return np.asarray(output, dtype=np.float32)[:n]
