"""The passes of an evaluation, each with its progress shown: cold start and memory, accuracy, latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import console
from edgeft.bundle import Bundle
from edgeft.errors import DataError, ModelError
from edgeft.evaluation import energy_figures, energy_pass, forecast, stored, stored_energy
from edgeft.evaluation import latency as timing
from edgeft.evaluation import shelf as shelves
from edgeft.evaluation.accuracy import Answers, answer_all
from edgeft.evaluation.conditions import Snapshot, available_bytes, probe_speed_s
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_figures import Energy
from edgeft.evaluation.energy_pass import EnergyRun
from edgeft.evaluation.energy_plan import EnergyPlan, plan_for
from edgeft.evaluation.forecast import Costs
from edgeft.evaluation.latency import Series, Tools
from edgeft.evaluation.meters.kinds import Meter
from edgeft.evaluation.plan import MAX_BATCH, largest_batch, pace_of
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.probe import Probe, probe
from edgeft.evaluation.recorders import recorder_for
from edgeft.evaluation.samples import POOL_BYTES, POOL_EXAMPLES, Samples
from edgeft.evaluation.session import Model, Settings, feed_for, open_model, run_logits
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.timing import Pace
from edgeft.evaluation.unfinished import Unfinished
from edgeft.evaluation.worker import OwnProcess
from edgeft.tasks import reference
from edgeft.tasks.task import Encoder, Task, answers_in

# Examples a fresh process runs on: enough for its memory to reach its peak.
_PROBE_EXAMPLES = 8
# Examples that are encoded to see how long one takes.
_TIMED_EXAMPLES = 3
_COOL_STEP_S, _COOL_WITHIN_C = 5.0, 2.0


def prepared_alike(bundle: Bundle, encoder: Encoder, task: Task) -> bool:
    """Whether inputs are prepared here as they were at export; False when the bundle carries no reference input.

    Raises FolderError when the reference input becomes other arrays here.
    """
    if reference.ARRAYS not in bundle.document["files"]:
        return False
    reference.check_reference(bundle.path, encoder, task.content)
    return True


def cold(
    paths: Mapping[str, Path], settings: Settings, output: str, samples: Samples, preset: Preset, kept: Unfinished
) -> dict[str, list[Probe]]:
    """Every variant in fresh processes, before anything else has loaded it."""
    if before := kept.take("cold-start"):
        return stored.probes_from(before[0])
    feeds = samples.long_ones(_PROBE_EXAMPLES)
    probes: dict[str, list[Probe]] = {name: [] for name in paths}
    with console.bar("cold start and memory", preset.cold_starts * len(paths), "processes") as shown:
        for _ in range(preset.cold_starts):
            for name, path in paths.items():
                probes[name].append(probe(path, settings, output, feeds))
                shown.advance(variant=name)
    kept.keep("cold-start", stored.probes_to(probes))
    return probes


def costs(probes: Mapping[str, Sequence[Probe]], same: Mapping[str, str], samples: Samples, reopened: bool) -> Costs:
    """What a query, an opening and an example cost; `same`: further names -> the variant whose file they are."""
    each = {name: probes[same.get(name, name)] for name in (*probes, *same)}
    begin = time.perf_counter()
    arrays = samples.long_ones(_TIMED_EXAMPLES)
    encode_s = (time.perf_counter() - begin) / len(arrays)
    held = max(sum(value.nbytes for value in one.values()) for one in arrays)
    return Costs(
        {name: statistics.median(one.query_s for one in several) for name, several in each.items()},
        {name: statistics.median(one.load_s for one in several) for name, several in each.items()},
        encode_s, max(min(len(samples), POOL_EXAMPLES, POOL_BYTES // held), 1), reopened,
    )  # fmt: skip


def say_how_long(
    spent: Costs, names: Sequence[str], n: int, preset: Preset, scenario: str, meter: Meter | None, start: Snapshot,
    kept: Unfinished,
) -> None:  # fmt: skip
    """One line with the time that the passes to come take."""
    # How many examples fit offline is found later: no more than MAX_BATCH.
    offline = scenario == "offline"
    pace = Pace(batch=MAX_BATCH) if offline else pace_of(scenario)
    left = [name for name in names if not kept.has(f"accuracy-{name}")]
    parts = {"accuracy": forecast.accuracy_s(left, n, spent)}
    parts["latency"] = 0.0 if kept.has("latency") else forecast.latency_s(preset, pace, list(spent.query_s), spent)
    parts["energy"] = plan_for(preset, meter).seconds(len(names)) if meter else 0.0
    waits = (parts["latency"] > 0) + (parts["energy"] > 0)
    cooling_s = 0.0 if start.temperature_c is None else waits * preset.cooldown_s
    if line := forecast.total(parts, cooling_s, "at most" if offline else "about"):
        console.say(line)


def opener(paths: Mapping[str, Path], settings: Settings, output: str, together: int) -> Callable[[str], Model]:
    """What opens a variant by name: in this process; or in a fresh one each time, where not all can be open `together`
    and closing one here would not give its memory back."""
    if together < len(paths) and not shelves.closing_gives_memory_back(settings.provider):
        return lambda name: OwnProcess(paths[name], settings, output)

    def here(name: str) -> Model:
        with shelves.opening():
            return open_model(paths[name], settings, output)

    return here


def capacity(
    paths: Mapping[str, Path], settings: Settings, probes: Mapping[str, Sequence[Probe]], same: Mapping[str, str]
) -> int:
    """How many variants are open at a time, by what each took in its fresh process; `same`: further names -> the
    variant whose file they are."""
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    taken = {name: max(one.session_bytes or 0 for one in probes[same.get(name, name)]) for name in paths}
    return shelves.capacity(list(sizes.values()), settings.provider, available_bytes(), list(taken.values()))


def accuracy(shelf: Shelf, samples: Samples, n_labels: int, kept: Unfinished) -> Answers:
    """Answers of all variants; those that an earlier sitting finished are taken from there."""
    known = {}
    for name in shelf.names:
        if before := kept.take(f"accuracy-{name}"):
            known[name] = before[1]["logits"]
            samples.remember(before[0])

    def finished(name: str, logits: NDArray[np.float32]) -> None:
        kept.keep(f"accuracy-{name}", samples.memory(), {"logits": logits})

    with console.bar("accuracy", len(samples) * (len(shelf.names) - len(known)), "samples") as shown:
        return answer_all(shelf, samples, n_labels, shown.advance, known, finished)


def leave_out_faulty(answers: Answers, baseline: str, shelf: Shelf) -> tuple[str, ...]:
    """The variants that go on: one whose answers are none costs the others nothing.

    Raises ModelError when that is the baseline, or when nothing is left to compare with it.
    """
    sound = tuple(name for name in shelf.names if name not in answers.faulty)
    alone = bool(answers.faulty) and sound == (baseline,)
    if alone or baseline in answers.faulty:
        raise ModelError("; ".join(answers.faulty.values()), "export the run again")
    for why in answers.faulty.values():
        console.warn(f"{why}: it is left out of what follows")
    shelf.keep_only(sound)
    return sound


def settle_pace(pace: Pace, offline: bool, shelf: Shelf, samples: Samples, seed: int) -> Pace:
    """For offline, the batch that fits here, which is said; else `pace` as it is."""
    if not offline:
        return pace
    window = timing.next_window(samples.windows(seed))
    batch, why = largest_batch(shelf, window, available_bytes)
    console.say(f"offline: batches of {batch} ({why}; at most {MAX_BATCH})")
    return Pace(batch=batch)


def cool_down(start: Snapshot, preset: Preset, tools: Tools | None = None) -> None:
    """Wait until the machine is as cool as at the start, or the preset's patience ends."""
    tools = tools or Tools()
    waited_s = 0.0
    while waited_s < preset.cooldown_s and _warmer(start, tools.look()):
        if waited_s == 0:
            console.say(f"waiting for the machine to cool to its start temperature, at most {preset.cooldown_s:.0f} s")
        tools.sleep(_COOL_STEP_S)
        waited_s += _COOL_STEP_S


def _warmer(start: Snapshot, now: Snapshot) -> bool:
    pairs = (
        (start.temperature_c, now.temperature_c), (start.gpu_temperature_c, now.gpu_temperature_c),
    )  # fmt: skip
    return any(was is not None and is_ is not None and is_ > was + _COOL_WITHIN_C for was, is_ in pairs)


def latency(
    shelf: Shelf, samples: Samples, task: Task, preset: Preset, scenario: str, seed: int, start: Snapshot,
    kept: Unfinished, more: Iterable[str] = (), tools: Tools | None = None,
) -> tuple[dict[str, Series], tuple[float, float], Pace]:  # fmt: skip
    """(blocks by variant, seconds of a fixed loop before and after, pace); `more` take part beside the variants."""
    tools = tools or Tools()
    if earlier := kept.take("latency"):
        return stored.latency_from(*earlier)
    names = (*shelf.names, *more)
    known, before, pace = stored.rounds_from(kept.take_rounds("latency")) or (
        {}, 0.0, settle_pace(pace_of(scenario), scenario == "offline", shelf, samples, seed)
    )  # fmt: skip
    cool_down(start, preset, tools)
    before = before or probe_speed_s()
    left = preset.blocks * len(names) - sum(len(one.blocks) for one in known.values())
    with console.bar("latency", left, "blocks") as shown:
        series = timing.measure(
            shelf, samples.windows(seed), whole_query(samples, task), preset, pace, seed, tools,
            lambda name: shown.advance(variant=name), names, known,
            lambda found, number: kept.keep_round("latency", number, *stored.round_to(found, number, before, pace)),
        )  # fmt: skip
    for name in more:
        shelf.drop(name)
    loop_s = (before, probe_speed_s())
    kept.keep("latency", *stored.latency_to(series, loop_s, pace))
    return series, loop_s, pace


def energy(
    choice: Choice, shelf: Shelf, samples: Samples, preset: Preset, pace: Pace, seed: int, start: Snapshot,
    kept: Unfinished, tools: Tools | None = None,
) -> Energy:  # fmt: skip
    """Joules of alternating blocks. Without a meter nothing runs, and the reason is kept."""
    tools = tools or Tools()
    if choice.meter is None:
        return Energy(choice)
    plan = plan_for(preset, choice.meter)
    earlier = stored_energy.take(kept, choice, plan)
    if earlier is not None and earlier.finished:
        return earlier.energy
    cool_down(start, preset, tools)
    return _joules(choice, shelf, samples, plan, pace, seed, earlier.energy if earlier else None, kept, tools)


def _joules(
    choice: Choice, shelf: Shelf, samples: Samples, plan: EnergyPlan, pace: Pace, seed: int, earlier: Energy | None,
    kept: Unfinished, tools: Tools,
) -> Energy:  # fmt: skip
    first = earlier.rounds(shelf.names) if earlier else 0
    assert choice.meter is not None  # there is a meter, or this is not called
    recorder = recorder_for(choice.meter, choice.asked, tools.clock)

    def keep(run: EnergyRun) -> None:
        recorder.catch_up()
        so_far = energy_figures.reduce(choice, run, recorder, earlier)
        kept.keep("energy", *stored_energy.energy_to(so_far, plan, shelf.names))

    with console.bar("energy", (plan.blocks - first) * len(shelf.names), "blocks") as shown:
        run = energy_pass.measure(
            shelf, samples.windows(seed), recorder, plan, pace, seed, tools, lambda name: shown.advance(variant=name),
            first, keep,
        )  # fmt: skip
    joules = energy_figures.reduce(choice, run, recorder, earlier)
    kept.keep("energy", *stored_energy.energy_to(joules, plan, shelf.names, finished=True))
    return joules


def whole_query(samples: Samples, task: Task) -> Callable[[Model, int], Any]:
    """One query as a user has it: read, encode, run, decode."""

    def query(model: Model, position: int) -> Any:
        arrays = samples.encode(position)
        if arrays is None:  # it was readable a moment ago
            raise DataError(samples.unreadable[position], "copy the bundle again")
        return task.decode(answers_in(run_logits(model, feed_for(model, arrays, "the model"), 1, "the model"), arrays))

    return query
