"""`edgeft tune --search N`: trials of other settings, each a run of its own; the best one stands in --output at last.

    RUN.search/study.db         the study, unless --storage names another place
    RUN.search/NAME/N/          the run of trial N, also when it is taken up again; the weights of beaten ones go
    RUN.search/search.txt, .png results table and plot, which are copied beside the best run

The same command on several machines with one --storage, or several times on one, joins the study. NAME follows from
settings and examples, so that trials of different jobs never mix.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from edgeft import console, files
from edgeft.budget import Limit
from edgeft.data.dataset import Dataset
from edgeft.errors import BudgetMissed, FolderError, ModelError
from edgeft.recipe import TuneSpec, as_settings
from edgeft.runfolder import DOCUMENT, WEIGHTS, Run
from edgeft.tuning.constraints import Kept, measure, total_over
from edgeft.tuning.space import Suggest, usual
from edgeft.tuning.study import open_study, run_trials
from edgeft.tuning.trials import draw, table

if TYPE_CHECKING:
    import optuna

TuneOn = Callable[..., "Run | None"]
# What may differ between workers, and from one call to the next.
_FREE = ("search", "storage", "output", "resume", "dry_run", "workers", "image_cache", "device", "report_to", "data")


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.search")


def search(
    spec: TuneSpec, dataset: Dataset, space: Mapping[str, Suggest], tune_on: TuneOn, limits: Sequence[Limit] = ()
) -> Run:
    """Run trials until there are `spec.search` of them, and put the best one's run in place.

    space    how a trial chooses its values, by field of the spec
    tune_on  does one run: (spec, dataset, callbacks) -> Run
    limits   of the exported model: a trial that keeps them all is better than one that does not
    Raises FolderError when the best run lies on another machine, BudgetMissed at last when no trial keeps the limits.
    """
    if _holds_run(spec.output) and not spec.resume:
        raise FolderError(f"{spec.output} already holds a run", "add --resume to go on, or choose another --output")
    home = folder_of(spec.output)
    name = _name(spec, dataset, limits)
    home.mkdir(parents=True, exist_ok=True)
    study = open_study(name, spec.storage or f"sqlite:///{home.absolute() / 'study.db'}", spec.seed)
    console.say(f"search: {spec.search} trials of {', '.join(space)} in {home}")
    asked = [limit.text for limit in limits]
    # the first trial, so that a search ends no worse than without one
    study.enqueue_trial(usual(dataset.content), skip_if_exists=True)

    def objective(trial: optuna.Trial) -> float:
        return _try(trial, study, spec, dataset, space, tune_on, home / name, limits)

    run_trials(study, objective, spec.search)
    _report(study, home)
    run = _put_best(study, spec.output, home)
    _refuse_missed(run, asked)
    return run


def _refuse_missed(run: Run, asked: Sequence[str]) -> None:
    missed = [one for one in run.document["search"].get("budget", ()) if one["over"] > 0]
    if missed:
        raise BudgetMissed(
            f"no trial keeps {', '.join(asked)}: the nearest one, which is in {run.path}, is "
            f"{100 * missed[0]['over']:.3g} % over {missed[0]['text']}", "try a smaller model, or more trials",
        )  # fmt: skip


def _name(spec: TuneSpec, dataset: Dataset, limits: Sequence[Limit]) -> str:
    settings = {key: value for key, value in as_settings(spec).items() if key not in _FREE}
    settings |= {"limits": [limit.text for limit in limits]} if limits else {}
    text = json.dumps({**settings, "data_fingerprint": dataset.fingerprint}, sort_keys=True)
    return f"edgeft-{files.sha256_text(text)[:12]}"


def _holds_run(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _try(
    trial: optuna.Trial,
    study: optuna.Study,
    spec: TuneSpec,
    dataset: Dataset,
    space: Mapping[str, Suggest],
    tune_on: TuneOn,
    runs: Path,
    limits: Sequence[Limit],
) -> float:
    """One trial: its score on validation. One that does not train well enough, or cannot be exported, is given up."""
    import optuna

    chosen = {field: suggest(trial) for field, suggest in space.items()}
    # a trial that is taken up again has the attributes of the one that was killed
    origin = trial.user_attrs.get("origin", trial.number)
    folder = runs / str(origin)
    trial.set_user_attr("origin", origin)
    trial.set_user_attr("folder", str(folder.absolute()))
    trial.set_user_attr("host", platform.node())
    trial.set_user_attr("chosen", chosen)
    one = dataclasses.replace(
        spec, **chosen, search=0, storage=None, dry_run=False, output=folder, resume=folder.exists()
    )
    try:
        with console.quieter():
            run = tune_on(one, dataset, [_Pruning(trial)])
            assert run is not None
            if limits:
                _note_limits(trial, measure(run, limits))
    except ModelError as error:
        trial.set_user_attr("why", error.what)
        shutil.rmtree(folder, ignore_errors=True)
        raise optuna.TrialPruned() from error
    except optuna.TrialPruned:
        trial.set_user_attr("why", "behind the others")
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except KeyboardInterrupt:
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        raise
    score = _score(run)
    _drop_beaten(study, trial, score, folder)
    console.say(f"trial {trial.number}: {run.metric} {score:.4f} on validation with {_values(chosen)}")
    return score


def _note_limits(trial: optuna.Trial, kept: Sequence[Kept]) -> None:
    """For the table, and for the sampler, which keeps away from what is over its limits."""
    trial.set_user_attr("kept", [one.record for one in kept])
    for one in kept:
        trial.set_constraint(one.text, one.over)


def _values(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:.2g}" if isinstance(v, float) else f"{k} {v}" for k, v in chosen.items())


def _score(run: Run) -> float:
    """Of the model that the run ends with, on validation."""
    state = "quantized" if "quantized" in run.document["scores"] else "float"
    return float(run.scores_of(state)["validation"]["value"])


class _Pruning(TrainerCallback):
    """Tells the study the score of every epoch of the float phase, and stops a trial that is behind the others."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._before, self._here = trial, 0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._before, self._here = self._before + self._here, 0

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **_: Any) -> None:
        import optuna

        name = f"eval_{args.metric_for_best_model}"
        self._here = sum(name in entry for entry in state.log_history)
        self._trial.report(metrics[name], self._before + self._here)
        if self._trial.should_prune():
            raise optuna.TrialPruned()


def _drop_beaten(study: optuna.Study, trial: optuna.Trial, score: float, folder: Path) -> None:
    """Keep the weights of the best run only: those of all trials would fill the disk."""
    import optuna

    done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    best = max((one for one in done if one.number != trial.number), key=_rank, default=None)
    if best is None:
        return
    places = [folder.absolute(), Path(best.user_attrs["folder"])]
    beaten, kept = places if _rank(best) > _rank_of(trial, score) else reversed(places)
    for part in WEIGHTS if beaten != kept else ():
        shutil.rmtree(beaten / part, ignore_errors=True)


def _rank(trial: Any) -> tuple[float, float, int]:
    """Nearer to the limits, then the better score; among equal ones the earlier trial."""
    return _rank_of(trial, float(trial.value))


def _rank_of(trial: Any, score: float) -> tuple[float, float, int]:
    return (-total_over(trial.user_attrs.get("kept", ())), score, -trial.number)


def _report(study: optuna.Study, home: Path) -> None:
    lines = table(study.get_trials(deepcopy=False))
    for line in lines:
        console.result(line)
    files.write_text(home / "search.txt", "\n".join(lines) + "\n")
    draw(study.get_trials(deepcopy=False), home / "search.png")


def _put_best(study: optuna.Study, output: Path, home: Path) -> Run:
    """Put the best trial's run where --output says, unless another worker has."""
    import optuna

    done = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if not done:
        raise ModelError("no trial of the search came to its end", f"see {home / 'search.txt'} for why")
    best = max(done, key=_rank)
    folder = Path(best.user_attrs["folder"])
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system takes it back from a worker that dies
        if _number_in(output) == best.number:
            return Run.open(output)
        if not (folder / DOCUMENT).is_file():
            where = f"{folder} on {best.user_attrs['host']}"
            raise FolderError(f"the best run is that of trial {best.number}, {where}", f"copy it to {output}")
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        document["search"] = {
            "trials": len(study.trials), "best": best.number, "validation": best.value,
            "chosen": best.user_attrs["chosen"],
            **({"budget": best.user_attrs["kept"]} if "kept" in best.user_attrs else {}),
        }  # fmt: skip
        files.write_json(folder / DOCUMENT, document)
        for name in ("search.txt", "search.png"):
            if (home / name).is_file():
                shutil.copyfile(home / name, folder / name)
        if output.exists():
            shutil.rmtree(output)
        os.replace(folder, output)
    console.say(f"the run of trial {best.number} is in {output}")
    return Run.open(output)


def _number_in(output: Path) -> int | None:
    """Number of the trial whose run stands in `output`."""
    try:
        found = json.loads((output / DOCUMENT).read_text(encoding="utf-8")).get("search", {}).get("best")
    except (OSError, ValueError):
        return None
    return None if found is None else int(found)
