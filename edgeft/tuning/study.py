"""The study that trials of a search share, through Optuna: one worker, or several on one machine or many.

A worker that is killed stops its heartbeat; after GRACE_S another one, or the same after a restart, takes its trial up
again with the same values, and finds the run of it where it was left.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeft.errors import MachineError, UsageError
from edgeft.packages import how_to_install, is_installed

if TYPE_CHECKING:
    import optuna

HEARTBEAT_S, GRACE_S = 10, 30
_POLL_S = 2.0
# Trials before the sampler and the pruner have something to go by.
_FIRST_TRIALS = 5
Objective = Callable[[Any], float]


def refuse_missing() -> None:
    """Raises MachineError where Optuna is not installed."""
    if not is_installed("optuna"):
        raise MachineError("--search needs the package optuna", how_to_install("optuna"))


def open_study(name: str, url: str, seed: int) -> optuna.Study:
    """The study `name` of the storage, begun or joined. Raises UsageError for a storage that cannot be opened."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    retry = optuna.storages.RetryHeartbeatStaleTrialCallback()
    try:
        storage = optuna.storages.RDBStorage(
            url, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S, heartbeat_stale_trial_callback=retry
        )
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, sampler=_seeded(seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST_TRIALS),
        )  # fmt: skip
    except Exception as error:  # drivers of databases raise errors of their own
        text = " ".join(str(error).split())[:200]
        raise UsageError(f"--storage {url} cannot be opened: {text}", "give an Optuna storage URL") from error


def _seeded(seed: int) -> Any:
    """TPE whose random numbers follow from the seed and the number of the trial: workers of one seed do not all try the
    same values, and one worker alone always tries the same ones."""
    import optuna

    class Seeded(optuna.samplers.BaseSampler):
        def before_trial(self, study: Any, trial: Any) -> None:
            self._inner = optuna.samplers.TPESampler(
                seed=seed + trial.number, n_startup_trials=_FIRST_TRIALS, multivariate=True, constant_liar=True
            )  # fmt: skip

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._inner.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self._inner.sample_independent(study, trial, name, distribution)

    return Seeded()


def run_trials(study: optuna.Study, objective: Objective, n: int) -> None:
    """Run trials until the study has `n` that ended, this worker's and others', and none is running."""
    import optuna

    states = optuna.trial.TrialState
    while True:
        counts = {state: len(study.get_trials(deepcopy=False, states=[state])) for state in states}
        begun = counts[states.COMPLETE] + counts[states.PRUNED] + counts[states.RUNNING]
        if counts[states.WAITING] or begun < n:
            study.optimize(objective, n_trials=1)
        elif counts[states.RUNNING]:
            time.sleep(_POLL_S)
            optuna.storages.fail_stale_trials(study)
        else:
            return
