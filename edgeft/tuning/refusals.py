"""What `edgeft tune` refuses before it begins: options that would have no effect, and places that spoil something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeft import files, ranks
from edgeft.contents import MANY
from edgeft.errors import UsageError
from edgeft.options import spelled
from edgeft.quant.choice import Wish
from edgeft.quant.raising import refuse_raise
from edgeft.recipe import TuneSpec
from edgeft.scheme import Scheme
from edgeft.tasks.task import Task

# Options that have an effect on examples of some kinds only; the first of them is who they are for.
_FOR: Mapping[str, tuple[str, ...]] = {
    "image_size": ("image",),
    "max_length": ("text", "words"),
    "audio_seconds": ("audio",),
    "text_column": ("text", "words", "audio"),
    "label_column": ("text", "words", "audio"),
}


def refuse_place(output: Path, data: str) -> None:
    """A run among the examples would be read as a class of them the next time."""
    folder = Path(data).expanduser()
    if folder.is_dir() and folder.resolve() in (Path(output).resolve(), *Path(output).resolve().parents):
        raise UsageError(f"--output {output} lies inside --data {data}", "choose a folder outside it")
    files.refuse_unwritable(Path(output))


def refuse_idle(wish: Wish, scheme: Scheme | None) -> None:
    if wish and scheme is None:
        raise UsageError("--keep-float has no meaning without quantization", "leave it out, or choose a --scheme")
    if wish.wide and scheme is not None:
        refuse_raise(scheme)


def refuse_untrained(epochs: float, fresh: Sequence[str]) -> None:
    if epochs == 0 and fresh:
        raise UsageError(f"--epochs 0 would leave {fresh[0]} with random weights", "give at least one epoch")


def refuse_foreign(content: str, spec: TuneSpec) -> None:
    """Options for examples of another kind than `content` have no effect.

    Raises UsageError for the first that was given.
    """
    for name, kinds in _FOR.items():
        if content not in kinds and getattr(spec, name) is not None:
            raise UsageError(
                f"--{spelled(name)} is for {MANY[kinds[0]]}, and the examples are {MANY[content]}", "leave it out"
            )


def refuse_unsampled(sampling: str, task: Task) -> None:
    if sampling == "balanced" and task.target != "label":
        raise UsageError(
            f"--sampling {sampling} draws examples by their class, and a sentence has as many as it has words",
            "leave it out; --class-weights balanced weighs the words' tags",
        )


def refuse_alone(spec: TuneSpec) -> None:
    """Raises UsageError for what each process would do for itself, and for more processes than a step has examples."""
    world = ranks.world()
    if world == 1:
        return
    if spec.search:
        raise UsageError(
            f"--search was started as one run of {world} processes, and its trials are runs of their own",
            "start the same command in several terminals without torchrun: they share the trials",
        )
    if isinstance(spec.batch_size, int) and spec.batch_size < world:
        raise UsageError(
            f"--batch-size {spec.batch_size} leaves some of {world} processes without examples in a step",
            f"give at least {world}",
        )
