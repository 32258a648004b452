"""Figures as a person reads them. Every format takes its words from here, so that they agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeft.report import state
from edgeft.tasks.task import METRIC_TITLES

ABSENT = "-"


@dataclass(frozen=True)
class Row:
    """One variant in words; ABSENT where there is no figure."""

    name: str
    flagged: bool
    accuracy: str
    verdict: str
    difference: str
    agreement: str
    p50: str
    p90: str
    speedup: str
    speed_interval: str
    energy: str
    joules: str
    energy_ratio: str
    size: str
    memory: str


def rows(document: Mapping[str, Any]) -> list[Row]:
    return [_row(name, variant, document) for name, variant in document["variants"].items()]


def _row(name: str, variant: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    baseline = name == document["baseline"]
    comparison = document["comparisons"].get(name, {})
    accuracy, latency = comparison.get("accuracy", {}), comparison.get("latency", {})
    times = variant["latency"]
    return Row(
        name=name,
        flagged=any(
            flag.get("variant") == name and flag["severity"] != "note" for flag in document["validity"]["flags"]
        ),
        accuracy=percent(variant["accuracy"]["value"]),
        verdict="baseline" if baseline else accuracy.get("verdict", ABSENT),
        difference=f"{points(accuracy['diff'])} {interval_points(accuracy['ci95'])}" if accuracy else ABSENT,
        agreement=percent(accuracy["agreement"]) if accuracy else ABSENT,
        p50=_of_a_query(times, "p50_s"),
        p90=_of_a_query(times, "p90_s"),
        speedup="baseline" if baseline else f"{ratio(latency['speedup'])}x" if latency else ABSENT,
        speed_interval=f"[{', '.join(map(ratio, latency['ci95']))}]" if "ci95" in latency else ABSENT,
        energy=energy(variant["energy"]),
        joules=measured_millijoules(variant["energy"]),
        energy_ratio=f"{ratio(comparison['energy']['ratio'])}x" if "energy" in comparison else ABSENT,
        size=megabytes(variant.get("size_bytes")),
        memory=megabytes(variant["memory"].get("peak_rss_bytes")),
    )  # fmt: skip


def metric(document: Mapping[str, Any]) -> str:
    """What stands above the column of accuracy: accuracy, F1."""
    found = str(document["variants"][document["baseline"]]["accuracy"].get("metric", "accuracy"))
    return METRIC_TITLES.get(found, found)


def marked(document: Mapping[str, Any]) -> str:
    """What the mark behind a variant's name means; empty where none has it."""
    return "(!) a flag below is about this variant." if any(row.flagged for row in rows(document)) else ""


def moment(created_utc: str) -> str:
    """2026-01-02T03:04:05+00:00 as a person writes it, to the minute; what is no such moment stays as it is."""
    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", created_utc)
    return f"{match[1]} {match[2]} UTC" if match else created_utc


def _of_a_query(times: Mapping[str, Any], key: str) -> str:
    """Milliseconds; with a star, which the conditions explain, where a query is a whole batch."""
    value = milliseconds(times.get(key))
    return f"{value}*" if times.get("batch", 1) > 1 and value != ABSENT else value


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    return f"{100 * value:+.{1 if abs(value) >= 0.0995 else 2}f}"


def interval_points(bounds: list[float]) -> str:
    return f"[{points(bounds[0])}, {points(bounds[1])}]"


def ratio(value: float) -> str:
    return f"{value:.{0 if value >= 99.5 else 1 if value >= 9.95 else 2}f}"


def milliseconds(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ABSENT
    return f"{1000 * value:.{_decimals(1000 * value)}f}"


def megabytes(value: float | None) -> str:
    return ABSENT if value is None else f"{value / 1e6:.{_decimals(value / 1e6)}f}"


def _decimals(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4


def energy(entry: Mapping[str, Any]) -> str:
    if "gross_j" not in entry:
        return ABSENT
    return f"{millijoules(entry['gross_j'])} ({entry['status']}, {entry['coverage']})"


def measured_millijoules(entry: Mapping[str, Any]) -> str:
    """The bare number, for a column whose sentence says what it covers; ABSENT for what was only modelled."""
    if entry["status"] != "measured":
        return ABSENT
    return f"{1000 * entry['gross_j']:.{_decimals(1000 * entry['gross_j'])}f}"


def joules_cell(entry: Mapping[str, Any]) -> str:
    """Millijoules of a table's cell with what they cover; what was modelled says so."""
    if "gross_j" not in entry:
        return ABSENT
    modelled = "modelled, " if entry["status"] == "modelled" else ""
    return f"{1000 * entry['gross_j']:.3g} ({modelled}{entry['coverage']})"


def millijoules(value: float) -> str:
    return f"{1000 * value:.3g} mJ"


def energy_line(document: Mapping[str, Any]) -> str:
    """The energy of all variants in one sentence, or why there is none."""
    return "; ".join(text if i == 0 else f"{name} {text}" for i, (name, text) in enumerate(energy_pairs(document)))


def energy_pairs(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """("energy", how it was measured or why not), then (variant, its joules): gross first, net second."""
    entries = {name: variant["energy"] for name, variant in document["variants"].items()}
    measured = {name: entry for name, entry in entries.items() if "gross_j" in entry}
    missing = {entry.get("reason", "") for entry in entries.values() if entry["status"] != "measured"}
    about = [f"not measured: {reason}" for reason in sorted(missing)]
    if measured:
        first = next(iter(measured.values()))
        how = "with" if first["status"] == "measured" else "as"
        meter = f"{first['status']} {how} {first['source']}, covers {first['coverage']}"
        about.insert(0, f"{meter}{_sensor(first)}{_idle(first)}")
    lines = [(name, _joules(name, entry, document)) for name, entry in measured.items()]
    return [("energy", "; ".join(about)), *lines] if about else []


def _sensor(entry: Mapping[str, Any]) -> str:
    return f"; sensor: {entry['sensor_resolution']}" if "sensor_resolution" in entry else ""


def meters_tried(document: Mapping[str, Any]) -> list[str]:
    """One line for each meter that was asked before the one used, or in vain."""
    entries = [variant["energy"] for variant in document["variants"].values()]
    lines = [f"{one['meter']}: {one['why_not']}" for entry in entries for one in entry.get("tried", ())]
    return list(dict.fromkeys(lines))


def _idle(entry: Mapping[str, Any]) -> str:
    idle = entry.get("idle", {})
    after = f" before, {idle['after_w']:.3g} W after" if "after_w" in idle else ""
    return f"; idle {idle['before_w']:.3g} W{after}" if idle else ""


def _joules(name: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    text = f"{millijoules(entry['gross_j'])} an example ({entry['coverage']})"
    if entry["status"] == "modelled":
        low, high = entry["gross_range_j"]
        return f"{text} ({millijoules(low)} to {millijoules(high)}), modelled, not measured"
    if "net_j" in entry:
        text += f", {millijoules(entry['net_j'])} net of idle"
    if "mean_w" in entry:
        text += f", {entry['mean_w']:.3g} W"
    compared = document["comparisons"].get(name, {}).get("energy")
    if compared:
        bounds = f" [{', '.join(map(ratio, compared['ci95']))}]" if "ci95" in compared else ""
        text += f"; {ratio(compared['ratio'])}x{bounds} of {document['baseline']}"
    return text


def conditions(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the figures hold under."""
    system, runtime, data = document["system"], document["runtime"], document["data"]
    board = system.get("board_model")
    cpu = system.get("cpu_model") or ", ".join(system.get("cpu_parts", [])) or "unknown processor"
    cpu += f" / {_gpu(system)}" if _gpu(system) else ""
    confined = ", ".join(str(system[key]) for key in ("virtualization", "container") if system.get(key))
    skipped = f", {data['unreadable']} could not be read" if data.get("unreadable") else ""
    found = [
        ("machine", " / ".join(filter(None, [board, cpu])) + (f" ({confined})" if confined else "")),
        ("int8 path", str(system.get("int8_path", ABSENT))),
        ("runtime", f"onnxruntime {runtime['onnxruntime']['version']}, {_chain(runtime)}, "
                    f"{runtime['intra_threads']} threads, spinning {'on' if runtime['allow_spinning'] else 'off'}, "
                    f"graph level {runtime['graph_opt_level']}"),
        ("profile", f"{document['profile']['id']} ({document['profile']['title']})"),
        ("protocol", f"preset {document['preset_label']}, {document['scenario']}, seed {document['seed']}"
                     f"{_throughput(document)}"),
        ("data", f"{data['n']} {data['split']} samples{_parts(data)}{skipped}"),
        ("baseline", f"{document['baseline']}: {document['baseline_is']}"),
        ("measured", f"{document['created_utc']} by edgeft {document['edgeft']}{_commit(document)}"),
        *state.rows(document),
        *_checks(document),
    ]  # fmt: skip
    return found


def _parts(data: Mapping[str, Any]) -> str:
    """Where the model was asked for long examples in parts: latency and energy are of a part."""
    return f" in {data['queries']} queries, the long ones in windows" if "queries" in data else ""


def _throughput(document: Mapping[str, Any]) -> str:
    """Offline, what counts: p50 and p90 are those of a batch."""
    rates = [(name, one["latency"]) for name, one in document["variants"].items() if "samples_per_s" in one["latency"]]
    if not rates:
        return ""
    shown = ", ".join(f"{name} {times['samples_per_s']:.4g}" for name, times in rates)
    return f"; *: of a batch of {rates[0][1]['batch']}; samples/s: {shown}"


def _chain(runtime: Mapping[str, Any]) -> str:
    """The provider asked for, and those behind it."""
    return ", then ".join([one["provider"] for one in runtime.get("ep_chain", ())] or [runtime["ep_requested"]])


def _checks(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The clock and the A/A check, where they were made."""
    found = []
    if loop := document.get("checks", {}).get("fixed_loop"):
        before, after = (milliseconds(loop[key]) for key in ("before_s", "after_s"))
        found.append(f"fixed loop {before} ms before, {after} ms after ({100 * loop['change']:+.1f} %)")
    for comparison in document["comparisons"].values():
        if aa := comparison.get("latency", {}).get("aa_check"):
            low, high = aa["ci95"]
            verdict = "passed" if aa["passed"] else "failed"
            found.append(f"baseline against itself {aa['ratio']:.3f}x [{low:.3f}, {high:.3f}], {verdict}")
            break
    return [("checks", "; ".join(found))] if found else []


def _commit(document: Mapping[str, Any]) -> str:
    """Where it ran from a checkout: the code of that version number may be any."""
    edited = ", edited" if document.get("git_dirty") else ""
    return f", commit {document['git_commit'][:8]}{edited}" if "git_commit" in document else ""


def _gpu(system: Mapping[str, Any]) -> str:
    """The graphics card, which stands in a record only when the model ran there."""
    gpu = system.get("gpu", {})
    driver = f", driver {gpu['driver']}" if "driver" in gpu else ""
    return f"{gpu['name']}{driver}" if "name" in gpu else ""


def details(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Per variant, what does not fit into a table."""
    found = []
    for name, variant in document["variants"].items():
        times, kernels = variant["latency"], variant["matrix_kernels"]
        whole, cold = times.get("end_to_end"), times["cold"]
        floats = ", ".join(f"{n} {kernel}" for kernel, n in kernels["float"].items())
        providers = ", ".join(f"{n} on {provider}" for provider, n in variant["nodes_by_provider"].items())
        text = (
            f"{times['n']} queries in {len(times['blocks'])} blocks; "
            + (f"end to end p50 {milliseconds(whole['p50_s'])} ms; " if whole else "")
            + f"cold: load {milliseconds(cold['load_s'])} ms, first query {milliseconds(cold['first_s'])} ms; "
            f"nodes: {providers}; matrix kernels: {kernels['integer']} integer"
            + (f", float: {floats}" if floats else "")
        )
        worst = document["comparisons"].get(name, {}).get("accuracy", {}).get("worst_class")
        if worst:
            text += f"; worst class {worst['label']}: recall {points(-worst['recall_drop'])} points, n {worst['n']}"
        agreement = document["comparisons"].get(name, {}).get("accuracy", {}).get("agreement")
        if agreement is not None:
            text += f"; same answer as {document['baseline']} on {percent(agreement)}"
        found.append((name, text))
    return found


def slices(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(slice, right answers of every variant on it, with the change against the baseline); empty without slices."""
    entries = {name: one["accuracy"].get("slices", {}) for name, one in document["variants"].items()}
    names = list(dict.fromkeys(part for one in entries.values() for part in one))
    return [(part, "; ".join(_on_slice(document, part, name, one) for name, one in entries.items())) for part in names]


def _on_slice(document: Mapping[str, Any], part: str, name: str, found: Mapping[str, Any]) -> str:
    one = found[part]
    low, high = (f"{100 * bound:.1f}" for bound in one["ci95"])
    if name == document["baseline"]:
        return f"n {one['n']}, {name} {percent(one['right'])} [{low}, {high}]"
    change = document["comparisons"][name]["accuracy"]["slices"][part]
    mark = " (!)" if change["worse"] else ""
    return f"{name} {percent(one['right'])}, {points(change['diff'])} {interval_points(change['ci95'])}{mark}"


def claim_line(claim: Mapping[str, Any]) -> str:
    return f"{'' if claim['valid'] else 'NOT VALID: '}{claim['text']} ({claim['basis']})"


def flag_line(flag: Mapping[str, Any]) -> str:
    return f"{flag['severity']}: {flag['evidence']} [{flag['code']}]"
