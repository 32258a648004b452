"""The story of `edgeft eval`: what a bundle's variants are worth on this machine, against the original."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeft import console, files, machine, surroundings
from edgeft.budget import parse_budget
from edgeft.bundle import Bundle
from edgeft.errors import BudgetMissed
from edgeft.evaluation import (
    aa,
    accuracy,
    changed,
    claims,
    energy,
    energy_figures,
    energy_flags,
    energy_model,
    energy_plan,
    flags,
    gpu,
    limits,
    passes,
    plan,
    plausibility,
    presets,
    probe,
    record,
    slices,
)  # fmt: skip
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.heap import left_out
from edgeft.evaluation.latency import Tools
from edgeft.evaluation.result import CHANGED, DOCUMENT, SAMPLES, Result, write_samples
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import kept_to, settings_for
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.unfinished import Unfinished
from edgeft.onnxfile import read_weights
from edgeft.profile import load_profile
from edgeft.report import junit, print_as, write_reports
from edgeft.specs import EvalSpec
from edgeft.tasks import TASKS
from edgeft.tasks.eval_examples import read_examples


@left_out
def evaluate(spec: EvalSpec) -> Result | None:
    """Measure every variant of `spec.bundle` here, write `spec.output`, and print the comparison.

    Returns what was written; None for a dry run. Raises BudgetMissed after everything is written, and before that
    what is wrong with bundle, machine or options (see edgeft.errors).
    """
    bundle = Bundle.open(spec.bundle)
    profile = load_profile(spec.profile)
    names, baseline = plan.choose_variants(bundle, spec.variants)
    preset = presets.preset(spec.preset)
    settings = settings_for(profile, spec.provider, spec.threads, paced=plan.pace_of(spec.scenario).period_s > 0)
    card = gpu.card_of(settings.provider, settings.ep_options)
    choice = energy.choose(spec.meter, profile.energy, settings.provider, card=card)
    modelled = energy_model.choose(spec.energy_model, profile)
    budget = parse_budget(spec.budget) if spec.budget else ()
    limits.refuse_unmeasurable(budget, choice.why_not, preset.percentiles)
    limits.refuse_unmeasured_memory(budget, probe.memory_bytes("VmHWM"))
    limits.refuse_empty(budget, spec.junit)
    task = TASKS.load(bundle.task)
    examples = read_examples(bundle.path, bundle.labels)[: spec.limit]
    console.say(plan.describe(bundle, names, baseline, preset, spec.scenario, settings, profile.id, len(examples)))
    console.say(energy_plan.describe(choice, preset, len(names), modelled))
    if spec.dry_run:
        return None

    encoder = task.encoder(bundle.preprocessing, bundle.path)
    prepared_alike = passes.prepared_alike(bundle, encoder, task)
    samples = Samples(task.queries(examples, encoder), encoder)
    paths = {name: bundle.file_of(name) for name in names}
    output = bundle.document["outputs"][0]["name"]
    start = card.snapshot() if card is not None else Snapshot.take()
    tools = Tools(look=card.snapshot) if card is not None else Tools()
    before = flags.preflight(start, settings, preset, [bundle.variants[name]["bytes"] for name in names])
    kept = Unfinished.begin(
        spec.output,
        record.key(bundle, names, preset, spec.scenario, spec.seed, spec.limit, settings, profile.id, card),
        spec.resume,
    )  # fmt: skip
    with kept_to(settings.affinity) as cpus:
        probes = passes.cold(paths, settings, output, samples, preset, kept)
        twice = aa.more_paths(preset, baseline, paths)
        opened = {**paths, **twice}
        same = dict.fromkeys(twice, baseline)
        together = passes.capacity(opened, settings, probes, same)
        shelf = Shelf(passes.opener(opened, settings, output, together), names, together)
        spent_s = passes.costs(probes, same, samples, together < len(opened))
        passes.say_how_long(spent_s, names, len(samples), preset, spec.scenario, choice.meter, start, kept)
        answers = passes.accuracy(shelf, samples, len(bundle.labels), kept)
        names = passes.leave_out_faulty(answers, baseline, shelf)
        series, probe_s, pace = passes.latency(
            shelf, samples, task, preset, spec.scenario, spec.seed, start, kept, twice, tools
        )
        joules = passes.energy(choice, shelf, samples, preset, pace, spec.seed, start, kept, tools)
        shelf.close()

    scored = accuracy.score_all(task, answers, bundle.labels)
    query_s = dict(energy_figures.query_means(series))
    spent = {
        name: energy_model.estimate(modelled, energy_figures.variant(joules, name, query_s[name]), query_s[name], pace)
        for name in names
    }
    document: dict[str, Any] = {
        **record.header(preset, spec.scenario, spec.seed),
        **kept.record(),
        "baseline": baseline,
        "baseline_is": bundle.original_is if baseline == plan.BASELINE else baseline,
        "system": {
            "profile_id": profile.id, **machine.describe_machine(), **surroundings.record(spec.surroundings),
            **gpu.record(card),
        },
        "profile": {"id": profile.id, "title": profile.title},
        "runtime": record.runtime(
            replace(settings, affinity=cpus), {name: probes[name][0] for name in names}, machine.versions()
        ),
        "data": record.data(bundle, answers, samples, spec.seed) | {"reference_input_checked": prepared_alike},
        "checks": record.checks(probe_s, start),
        "variants": {
            name: record.variant(
                {**bundle.variants[name], **read_weights(paths[name])}, scored[name][1], series[name], probes[name],
                preset, pace, spent[name],
            )  # fmt: skip
            for name in names
        },
        "comparisons": {
            name: record.compared(task, baseline, name, scored, answers, series, len(bundle.labels), spec.seed, preset)
            | energy_figures.compared(joules, baseline, name)
            for name in names
            if name != baseline
        },
    }
    parts = [example.slice for example in answers.examples(samples)]
    found = slices.add(document, {name: scored[name][1].correct for name in names}, parts)
    found += flags.gather(
        document, before, settings, preset, samples, spec.limit, series, probes, probe_s, answers.faulty
    )
    found += [*energy_flags.energy_flags(joules, query_s, document["system"]), *energy_model.flags(spent)]
    found += plausibility.flags(profile.plausibility, profile.id, bundle.document, document["variants"], joules)
    shots = [shot for one in series.values() for block in one.blocks for shot in (block.before, block.after)]
    found += gpu.flags(gpu.record(card).get("gpu", {}), shots, "latency")
    document["validity"] = flags.verdict(found)
    document["budget"], winner = limits.check(budget, document) if budget else ([], None)
    document |= {"winner": winner} if winner else {}
    document["claims"] = claims.claims(document["comparisons"], baseline, found)

    with files.whole_folder(spec.output) as folder:
        write_samples(folder / SAMPLES, record.arrays(answers, scored, series, pace) | energy_figures.arrays(joules))
        predicted = {name: scored[name][0] for name in names}
        told = changed.changed(baseline, predicted, answers, samples.examples, bundle.labels)
        files.write_json(folder / CHANGED, told)
        write_reports(Result(folder, document))
        files.write_json(folder / DOCUMENT, document)
    if spec.junit is not None:
        files.write_text(spec.junit, junit.render(document))
    kept.remove()
    result = Result.open(spec.output)
    console.result(print_as(spec.format, result))
    console.say(f"written to {spec.output}: {DOCUMENT}, {SAMPLES}, {CHANGED}, report.md, report.html")
    if budget and winner is None:
        missed = "; ".join(limits.missed_text(line) for line in document["budget"] if not line["passed"])
        raise BudgetMissed(f"no variant keeps the whole budget: {missed}", f"see {spec.output / 'report.md'}")
    return result
