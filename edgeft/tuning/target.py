"""What the run is for: the task, and the number grids of the target."""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.contents import MANY
from edgeft.data.dataset import Dataset
from edgeft.errors import DataError, UsageError
from edgeft.profile import load_profile
from edgeft.scheme import SCHEMES, Scheme
from edgeft.tasks import TASKS
from edgeft.tasks.task import Task


@dataclass(frozen=True)
class Target:
    """The target's arithmetic: `scheme` is None for plain fine-tuning."""

    scheme: Scheme | None
    profile: str | None

    @property
    def scheme_name(self) -> str:
        return "none" if self.scheme is None else self.scheme.name


def find_target(profile: str | None, scheme: str | None) -> Target:
    """The scheme given, or the profile's. Raises ProfileError or UsageError for unknown names."""
    known = None if profile is None else load_profile(profile)
    name = scheme or (known.scheme if known else None)
    if name is None:
        raise UsageError("neither a profile nor a scheme is given", "add --profile or --scheme")
    return Target(None if name == "none" else SCHEMES.load(name), known.id if known else None)


def find_task(name: str | None, dataset: Dataset) -> Task:
    """The task asked for, or the one task that takes what the data holds."""
    if name is not None:
        task: Task = TASKS.load(name)
        if not _fits(task, dataset):
            raise DataError(
                f"task {name} takes {MANY[task.content]}, and {dataset.source} holds {MANY[dataset.content]}",
                "leave --task out, or give other --data",
            )
        return task
    fitting = [task for task in (TASKS.load(known) for known in TASKS.names()) if _fits(task, dataset)]
    if len(fitting) != 1:
        names = ", ".join(task.name for task in fitting) or "none"
        raise UsageError(f"the task of {dataset.source} is not certain ({names})", "add --task")
    return fitting[0]


def _fits(task: Task, dataset: Dataset) -> bool:
    return task.content == dataset.content and task.target == dataset.target
