"""An evaluation that was interrupted goes on: what was finished is not measured again, and the record says so."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeft.evaluation import energy_pass, latency, run, stored, unfinished
from edgeft.evaluation.accuracy import answer_all
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Series
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.timing import Pace
from edgeft.evaluation.unfinished import Unfinished, folder_of
from tests.evaluation.make_bundle import make_bundle
from tests.evaluation.meters import steady_meter


def interrupt(*given, **more):
    raise KeyboardInterrupt


@pytest.fixture
def passes(monkeypatch):
    """Which passes are really run."""
    ran = []

    def watch(place, name, label):
        real = getattr(place, name)

        def call(*given, **more):
            ran.append(label)
            return real(*given, **more)

        monkeypatch.setattr(place, name, call)

    watch(run.passes, "probe", "cold")
    watch(run.passes.timing, "measure", "latency")
    return ran


@pytest.fixture
def ten_watts(monkeypatch):
    steady_meter.use_steady_meter(monkeypatch.setattr)
    return "ten-watts"


def count(monkeypatch, place, name):
    """The calls of a function."""
    real, calls = getattr(place, name), []
    monkeypatch.setattr(place, name, lambda *given, **more: calls.append(given) or real(*given, **more))
    return calls


def stop_at(monkeypatch, spec, place, name, call):
    """Interrupt an evaluation at the n-th call of a function."""
    real, calls = getattr(place, name), []

    def watched(*given, **more):
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(place, name, watched)
        with pytest.raises(KeyboardInterrupt):
            run.evaluate(spec)


def stop_in(monkeypatch, spec, name):
    with monkeypatch.context() as patched:
        patched.setattr(run.passes, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.evaluate(spec)


def test_finished_passes_are_taken_and_the_rest_is_measured(spec, monkeypatch, passes, tmp_path):
    stop_in(monkeypatch, spec(), "latency")
    assert folder_of(tmp_path / "result").is_dir() and not (tmp_path / "result").exists()
    passes.clear()
    monkeypatch.setattr("edgeft.evaluation.accuracy.run_logits", interrupt)  # no example is answered again
    document = run.evaluate(spec(resume=True)).document
    assert passes == ["latency"]
    assert document["resumed"]["passes"] == ["cold-start", "accuracy-original", "accuracy-int8"]
    note = [flag["evidence"] for flag in document["validity"]["flags"] if flag["code"] == "resumed"]
    assert len(note) == 1 and document["resumed"]["begun_utc"] in note[0]
    assert document["variants"]["int8"]["accuracy"]["value"] == 1.0
    assert not folder_of(tmp_path / "result").exists()  # what is finished is not unfinished


def test_a_finished_latency_pass_is_taken_block_by_block(spec, monkeypatch, passes, tmp_path):
    stop_in(monkeypatch, spec(), "energy")
    with np.load(folder_of(tmp_path / "result") / "latency.npz") as kept:
        first = kept["int8/0/queries_ns"]
    passes.clear()
    result = run.evaluate(spec(resume=True))
    assert passes == [] and "latency" in result.document["resumed"]["passes"]
    assert np.array_equal(result.samples()["int8/query_ns"][: len(first)], first)


def test_finished_rounds_of_the_latency_pass_are_taken(spec, monkeypatch, tmp_path):
    # 4 rounds of 2 variants; the sixth block, in the third round, is never finished
    stop_at(monkeypatch, spec(), latency, "_block", 6)
    with np.load(folder_of(tmp_path / "result") / "latency-001.npz") as kept:
        second = kept["int8/0/queries_ns"]
    assert not (folder_of(tmp_path / "result") / "latency-002.npz").exists()
    again = count(monkeypatch, latency, "_block")
    result = run.evaluate(spec(resume=True))
    assert len(again) == 4 and "latency, 2 rounds" in result.document["resumed"]["passes"]
    for name in ("original", "int8"):
        blocks = result.document["variants"][name]["latency"]["blocks"]
        assert [block.get("sitting", 0) for block in blocks] == [0, 0, 1, 1]
        assert [block["t_start"] for block in blocks] == sorted(block["t_start"] for block in blocks)
    orders = [block["order"] for one in result.document["variants"].values() for block in one["latency"]["blocks"]]
    assert sorted(orders) == list(range(8))
    samples = result.samples()
    order = result.document["variants"]["int8"]["latency"]["blocks"][1]["order"]
    assert np.array_equal(samples["int8/query_ns"][samples["int8/query_block"] == order], second)


def test_both_sittings_see_the_same_examples(spec, monkeypatch):
    whole = run.evaluate(spec(scenario="offline"))
    stop_at(monkeypatch, spec(scenario="offline"), latency, "_block", 4)
    assert (
        run.evaluate(spec(scenario="offline", resume=True)).document["variants"]["int8"]["latency"]["batch"]
        == (whole.document["variants"]["int8"]["latency"]["batch"])
    )


def test_finished_rounds_of_the_energy_pass_are_taken(spec, monkeypatch, ten_watts):
    stop_at(monkeypatch, spec(meter=ten_watts), energy_pass, "_block", 6)
    again = count(monkeypatch, energy_pass, "_block")
    document = run.evaluate(spec(meter=ten_watts, resume=True)).document
    assert len(again) == 4 and "energy, 2 of 4 rounds" in document["resumed"]["passes"]
    for variant in document["variants"].values():
        found = variant["energy"]
        assert len(found["blocks"]) == 4 and found["mean_w"] == pytest.approx(10.0, rel=0.3)
        assert "reason" not in found and set(found["idle"]) >= {"before_w", "between_w", "after_w"}
        times = [block["t_start"] for block in found["blocks"]]
        assert times == sorted(times)
    assert document["comparisons"]["int8"]["energy"]["blocks"] == 4
    assert "meter" not in {flag["code"] for flag in document["validity"]["flags"]}


def test_an_energy_pass_that_lacks_only_its_last_idle_baseline(spec, monkeypatch, ten_watts):
    stop_at(monkeypatch, spec(meter=ten_watts), energy_pass, "_idle", 2)
    again = count(monkeypatch, energy_pass, "_block")
    document = run.evaluate(spec(meter=ten_watts, resume=True)).document
    assert again == [] and set(document["variants"]["int8"]["energy"]["idle"]) == {"before_w", "after_w", "error_w"}


def test_energy_of_another_meter_is_measured_again(spec, monkeypatch, ten_watts, capsys):
    stop_at(monkeypatch, spec(meter=ten_watts), energy_pass, "_block", 6)
    monkeypatch.setattr(steady_meter.TenWatts, "coverage", "wall")
    again = count(monkeypatch, energy_pass, "_block")
    document = run.evaluate(spec(meter=ten_watts, resume=True)).document
    assert len(again) == 8 and "measured with another meter" in capsys.readouterr().err
    assert {variant["energy"]["coverage"] for variant in document["variants"].values()} == {"wall"}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("place", "taken"),
    [
        ("cold-start", []),
        ("accuracy", ["cold-start"]),
        ("latency", ["cold-start", "accuracy-original", "accuracy-int8", "latency, 2 rounds"]),
        ("energy", ["cold-start", "accuracy-original", "accuracy-int8", "latency", "energy, 2 of 4 rounds"]),
        ("writing", ["cold-start", "accuracy-original", "accuracy-int8", "latency", "energy"]),
    ],
)
def test_killed_in_any_pass_it_goes_on(spec, bundle_path, tmp_path, ten_watts, place, taken):
    command = [sys.executable, "-m", "tests.evaluation.killed", place, str(bundle_path), str(tmp_path / "result")]
    root = str(Path(unfinished.__file__).parents[2])
    killed = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": root})
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "result").exists()
    document = run.evaluate(spec(meter=ten_watts, resume=True)).document
    assert document.get("resumed", {}).get("passes", []) == taken
    assert all(len(variant["energy"]["blocks"]) == 4 for variant in document["variants"].values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result"]


def test_without_resume_everything_is_measured_again(spec, monkeypatch, passes, capsys):
    stop_in(monkeypatch, spec(), "latency")
    passes.clear()
    document = run.evaluate(spec()).document
    assert passes == ["cold", "cold", "latency"] and "resumed" not in document
    assert "--resume would have gone on" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"seed": 1}, {"limit": 5}, {"threads": 2}, {"scenario": "paced:1"}])
def test_other_settings_are_not_mixed(spec, monkeypatch, passes, capsys, change):
    stop_in(monkeypatch, spec(), "latency")
    passes.clear()
    document = run.evaluate(spec(resume=True, **change)).document
    assert passes == ["cold", "cold", "latency"] and "resumed" not in document
    assert "was measured with other settings" in capsys.readouterr().err


def test_another_bundle_is_not_mixed(spec, monkeypatch, passes, capsys, tmp_path):
    stop_in(monkeypatch, spec(), "latency")
    other = make_bundle(tmp_path / "other", n=9)
    document = run.evaluate(spec(bundle=other.path, resume=True)).document
    assert "resumed" not in document and document["data"]["n"] == 9
    assert "bundle_sha256" in capsys.readouterr().err


def test_images_found_broken_by_the_first_sitting_stay_out(spec, monkeypatch, tmp_path):
    # D08: variants of both sittings are scored on the same rest
    bundle = make_bundle(tmp_path / "b", n=12, broken=(3, 7))
    stop_in(monkeypatch, spec(bundle=bundle.path), "latency")
    document = run.evaluate(spec(bundle=bundle.path, resume=True)).document
    assert document["data"]["n"] == 10 and document["data"]["unreadable"] == 2


def test_a_damaged_pass_is_measured_again(spec, monkeypatch, passes, tmp_path, capsys):
    stop_in(monkeypatch, spec(), "latency")
    place = folder_of(tmp_path / "result") / "cold-start.npz"
    place.write_bytes(place.read_bytes()[:50])
    passes.clear()
    document = run.evaluate(spec(resume=True)).document
    assert passes == ["cold", "cold", "latency"]
    assert document["resumed"]["passes"] == ["accuracy-original", "accuracy-int8"]
    assert "this is measured again" in capsys.readouterr().err


def test_nothing_to_go_on_from_is_said(spec, capsys):
    assert "resumed" not in run.evaluate(spec(resume=True)).document
    assert "nothing unfinished" in capsys.readouterr().out


def test_a_variant_finished_alone_is_kept_though_the_next_was_interrupted(tmp_path):
    # One model at a time, as on a board of little memory: the first is finished, the second stops.
    from edgeft.data.dataset import Example
    from edgeft.evaluation.samples import Samples
    from tests.evaluation.fakes import FakeClock, FakeModel, shelf_of

    samples = Samples([Example(str(i), "x", 0) for i in range(3)],
                      lambda contents: {"pixel_values": np.zeros((1, 1, 1, 1), np.float32)})  # fmt: skip
    models = {"original": FakeModel(FakeClock(), lambda k: 0.0), "int8": FakeModel(FakeClock(), lambda k: 0.0)}
    models["int8"].call = interrupt
    kept = Unfinished(tmp_path / "u", {})
    with pytest.raises(KeyboardInterrupt):
        answer_all(shelf_of(models, capacity=1), samples, 2,
                   finished=lambda name, logits: kept.keep(name, {}, {"logits": logits}))  # fmt: skip
    assert sorted(path.name for path in kept.folder.iterdir()) == ["original.npz", "state.json"]


def test_what_passes_found_survives_the_way_to_disk(tmp_path):
    shot = Snapshot(mhz=1800.0, governors=("ondemand", "performance"), on_battery=False)
    block = Block(3, 1.5, np.array([5, 6]), np.array([7]), np.array([0, 2]), shot, Snapshot())
    series = {"int8": Series(12, 2.5, False, 4, [block])}
    probes = {"int8": [Probe(0.1, 0.2, None, 5, {"CPUExecutionProvider": 3}, {"QGemm": 1})]}
    kept = Unfinished(tmp_path / "u", {"seed": 0})
    kept.keep("latency", *stored.latency_to(series, (0.1, 0.2), Pace(batch=8)))
    kept.keep("cold-start", stored.probes_to(probes))
    found, loop_s, pace = stored.latency_from(*kept.take("latency"))
    assert loop_s == (0.1, 0.2) and pace == latency.Pace(batch=8)
    one, other = found["int8"], series["int8"]
    assert (one.warm_runs, one.warm_s, one.warm_stable, one.fixed_batch) == (12, 2.5, False, 4)
    assert (one.blocks[0].before, one.blocks[0].after) == (shot, Snapshot())
    for part in ("queries_ns", "end_to_end_ns", "positions"):
        assert np.array_equal(getattr(one.blocks[0], part), getattr(other.blocks[0], part))
    assert stored.probes_from(kept.take("cold-start")[0]) == probes


def test_keys_are_compared_as_they_are_written():
    now = {"affinity": (0, 1), "seed": 0}
    assert unfinished.differing(json.loads(json.dumps(now)), now) == ""
    assert unfinished.differing({"affinity": [0, 1], "seed": 1}, now) == "seed was 1, now 0"


def test_the_state_names_its_schema_and_key(spec, monkeypatch, tmp_path):
    stop_in(monkeypatch, spec(), "latency")
    state = json.loads((folder_of(tmp_path / "result") / "state.json").read_text())
    assert state["schema"] == "edgeft-unfinished/1" and state["key"]["variants"] == ["original", "int8"]
    assert dataclasses.asdict(run.presets.PRESETS["quick"])["blocks"] == state["key"]["preset"]["blocks"]
