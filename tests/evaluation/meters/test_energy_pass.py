"""The energy pass on a fake clock: models that burn known watts, and a meter that counts them."""

import numpy as np
import pytest

from edgeft.evaluation import energy_figures
from edgeft.evaluation.claims import claims
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_flags import energy_flags
from edgeft.evaluation.energy_pass import measure
from edgeft.evaluation.energy_plan import EnergyPlan, plan_for
from edgeft.evaluation.meters.battery import Battery
from edgeft.evaluation.presets import preset
from edgeft.evaluation.recorders import CounterRecorder, SampledRecorder
from edgeft.evaluation.timing import Pace
from tests.evaluation.fakes import FakeClock, FakeModel, shelf_of, windows_of
from tests.evaluation.meters.test_recorders import Counting, Recorded

IDLE_W = 2.0
# seconds and watts of a query: 0.12 J and 0.04 J gross; 0.10 J and 0.03 J net
SPEED = {"original": (0.010, 12.0), "int8": (0.005, 8.0)}
PLAN = EnergyPlan(blocks=6, block_s=30.0, idle_s=60.0)
QUERY_S = {name: seconds for name, (seconds, _) in SPEED.items()}


class Machine:
    """Burns joules as its clock goes on, and writes down what a sampler at `hz` would see."""

    def __init__(self, idle_w=lambda t: IDLE_W, hz: float = 0.0, noise: float = 0.0) -> None:
        self.clock, self.meter = FakeClock(), Counting(0.0)
        self.idle_w, self.noise = idle_w, np.random.default_rng(0).normal(1, noise, 10_000) if noise else None
        self.times, self.watts, self.period_s = [], [], 1 / hz if hz else None
        self.models = {name: self._model(name) for name in SPEED}

    def _model(self, name):
        model = FakeModel(self.clock, lambda run: SPEED[name][0])
        inner = model.call

        def call(feed):
            before = self.clock.now_ns
            answer = inner(feed)
            extra = 1.0 if self.noise is None else self.noise[model.runs // 1000]
            self._burn(before, self.clock.now_ns, SPEED[name][1] * extra)
            return answer

        model.call = call
        return model

    def _burn(self, before_ns, now_ns, watts):
        seconds = (now_ns - before_ns) / 1e9
        if not isinstance(self.meter.value, str):
            self.meter.value += watts * seconds
        while self.period_s and (not self.times or self.times[-1] + self.period_s <= now_ns / 1e9):
            self.times.append(self.times[-1] + self.period_s if self.times else before_ns / 1e9)
            self.watts.append(watts)

    def sleep(self, seconds):
        before = self.clock.now_ns
        self.clock.sleep(seconds)
        self._burn(before, self.clock.now_ns, self.idle_w(before / 1e9))

    def tools(self, look=Snapshot):
        tools = self.clock.tools(look)
        return type(tools)(clock=tools.clock, sleep=self.sleep, look=tools.look)

    def measure(self, plan=PLAN, pace=None, recorder=None, look=Snapshot):
        recorder = recorder or CounterRecorder(self.meter, self.clock)
        run = measure(
            shelf_of(self.models), windows_of([1.0, 2.0]), recorder, plan, pace or Pace(), 0, self.tools(look)
        )  # fmt: skip
        return energy_figures.reduce(Choice("counting", self.meter), run, recorder)


def test_joules_of_known_watts():
    energy = Machine().measure()
    original = energy_figures.variant(energy, "original", 0.010)
    int8 = energy_figures.variant(energy, "int8", 0.005)
    assert original["status"] == "measured" and original["coverage"] == "CPU package"
    assert original["gross_j"] == pytest.approx(0.12, rel=1e-6)
    assert original["net_j"] == pytest.approx(0.10, rel=1e-6)
    assert int8["gross_j"] == pytest.approx(0.04, rel=1e-6)
    assert int8["net_j"] == pytest.approx(0.03, rel=1e-6)
    assert int8["mean_w"] == pytest.approx(8.0)
    assert original["idle"] == pytest.approx({"before_w": 2.0, "after_w": 2.0, "error_w": 0.0}, abs=1e-9)
    assert [block["n"] for block in original["blocks"]] == [3000] * 6
    assert original["blocks"][0]["gross_j"] == pytest.approx(360.0)
    assert original["sampler_overhead"] == pytest.approx(0.0)
    assert list(energy_flags(energy, QUERY_S, {})) == []
    (shared,) = energy_flags(energy, QUERY_S, {"gpu": {"other_processes": 1}})
    assert (shared["code"], shared["affects"]) == ("gpu_shared", "energy")


def test_blocks_alternate_and_idle_is_before_and_after():
    machine = Machine()
    recorder = CounterRecorder(machine.meter, machine.clock)
    run = measure(shelf_of(machine.models), windows_of([1.0]), recorder, PLAN, Pace(), 0, machine.tools())
    names = [block.name for block in run.blocks]
    first, second = names[:2]
    assert names == [first, second, second, first, second, first, first, second, first, second, second, first]
    before, after = run.idles
    assert before[-1].at_s - before[0].at_s == pytest.approx(60.0) and after[-1].at_s - after[0].at_s == pytest.approx(
        60
    )
    # the first load follows the idle baseline at once, so that clocks can be brought in line
    assert run.blocks[0].loaded_s == pytest.approx(before[-1].at_s)
    assert run.steps()[0] == ((before[0].at_s, before[-1].at_s), (run.blocks[0].loaded_s, run.blocks[0].end.at_s))
    assert len(run.steps()) == 2


def test_the_ratio_and_the_sentence_name_what_is_covered():
    energy = Machine(noise=0.01).measure()
    found = energy_figures.compared(energy, "original", "int8")["energy"]
    low, high = found["ci95"]
    assert found["basis"] == "gross" and found["blocks"] == 6 and found["verdict"] == "less"
    assert low < 1 / 3 < high < 0.35
    assert found["net"]["ratio"] == pytest.approx(0.3, rel=0.02)
    comparison = {"accuracy": {"n": 5, "ci95": [0, 0], "margin": 0.01, "verdict": "not worse"}, "energy": found}
    text = claims({"int8": comparison}, "original", [])[-1]["text"]
    assert text.startswith(f"int8 takes at least {int(100 * (1 - high))} % less CPU-package energy than original")
    assert [claim["passed"] for claim in claims({"int8": comparison}, "original", [])] == [True, True]
    broken = [{"severity": "invalid", "affects": "energy", "evidence": "the meter died"}]
    valid = {claim["text"]: claim["valid"] for claim in claims({"int8": comparison}, "original", broken)}
    assert valid[text] is False and list(valid.values())[0] is True


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        ("CPU package", "no difference in CPU-package energy between"),
        ("CPU package and memory", "no difference in CPU-package-and-memory energy between"),
        ("USB-C input", "no difference in USB-C-input energy between"),
        ("platform (psys)", "no difference in energy (platform (psys)) between"),
        ("CPU, GPU and ANE (estimate)", "no difference in energy (CPU, GPU and ANE (estimate)) between"),
    ],
)
def test_what_every_meter_covers_can_be_said_in_a_sentence(coverage, words):
    comparison = {
        "accuracy": {"n": 5, "ci95": [0, 0], "margin": 0.01, "verdict": "worse", "diff": -0.1},
        "energy": {"ratio": 1.0, "coverage": coverage, "verdict": "undecided"},
    }
    worse, unclear = claims({"int8": comparison}, "original", [])
    assert unclear["text"].startswith(words) and (worse["passed"], unclear["passed"]) == (False, False)


def test_sampled_watts_agree_with_the_closed_form():
    machine = Machine(hz=20)
    power = Recorded(machine.times, machine.watts)
    power.pair = (machine.times, machine.watts)
    sensor = type("Sensor", (), {"hz": 20.0, "trim_s": 0.1})()
    energy = machine.measure(recorder=SampledRecorder(sensor, power, machine.clock))
    original = energy_figures.variant(energy, "original", 0.010)
    assert original["gross_j"] == pytest.approx(0.12, rel=0.01)
    assert original["net_j"] == pytest.approx(0.10, rel=0.01)
    assert original["sample_hz"] == pytest.approx(20, rel=0.05) and original["n_samples"] > 6 * 550
    assert set(energy_figures.arrays(energy)) == {"energy/t_s", "energy/watt"}


def test_idle_power_between_two_baselines_lies_on_a_line():
    # idle rises by 0.01 W a second: before the blocks 2.3 W on average, after them 6.5 W
    energy = Machine(idle_w=lambda t: 2.0 + 0.01 * t).measure()
    before, after = (one.watts for one in energy.idles)
    middle = (energy.idles[0].at_s + energy.idles[1].at_s) / 2
    assert energy.idle_w(middle) == pytest.approx((before + after) / 2)
    flags = {flag["code"]: flag for flag in energy_flags(energy, QUERY_S, {})}
    assert (
        flags["idle_drift"]["affects"] == "energy" and f"{before:.2f}, {after:.2f} W" in flags["idle_drift"]["evidence"]
    )


def test_a_noisy_idle_widens_net_and_leaves_gross():
    steady, noisy = Machine(noise=0.01), Machine(idle_w=lambda t: 2.0 + 1.5 * np.sin(t), noise=0.01)
    before = energy_figures.variant(steady.measure(), "int8", 0.005)
    after = energy_figures.variant(noisy.measure(), "int8", 0.005)
    width = {key: [one[key][1] - one[key][0] for one in (before, after)] for key in ("gross_ci95", "net_ci95")}
    assert width["gross_ci95"][1] == pytest.approx(width["gross_ci95"][0], rel=1e-6)
    assert width["net_ci95"][1] > 1.5 * width["net_ci95"][0]
    # variance adds up: the shared part is t(2 baselines of 6 parts: 10) * T/n * error of idle
    shared = 2.228 * 0.005 * after["idle"]["error_w"]
    assert (width["net_ci95"][1] / 2) ** 2 == pytest.approx((width["gross_ci95"][0] / 2) ** 2 + shared**2, rel=0.03)


def test_paced_queries_count_the_wait_between_them():
    # 5 ms at 8 W and 95 ms at 2 W every 100 ms: 0.04 + 0.19 J, mean 2.3 W, what a battery would have to give
    energy = Machine().measure(pace=Pace(period_s=0.1))
    int8 = energy_figures.variant(energy, "int8", 0.005)
    assert int8["mean_w"] == pytest.approx(2.3, rel=1e-3)
    assert int8["gross_j"] == pytest.approx(0.23, rel=1e-3)
    assert int8["net_j"] == pytest.approx(0.03, rel=0.01)


def test_batches_are_counted_by_example():
    energy = Machine().measure(pace=Pace(batch=4))
    assert energy_figures.variant(energy, "original", 0.010)["gross_j"] == pytest.approx(0.03)


def test_a_meter_that_dies_midway_keeps_what_was_measured_and_invalidates_it():
    machine = Machine()
    recorder = CounterRecorder(machine.meter, machine.clock)
    blocks = []

    def done(name):
        blocks.append(name)
        if len(blocks) == 5:
            machine.meter.value = "Input/output error"

    run = measure(shelf_of(machine.models), windows_of([1.0]), recorder, PLAN, Pace(), 0, machine.tools(), done)
    energy = energy_figures.reduce(Choice("counting", machine.meter), run, recorder)
    assert len(energy.blocks) == 5 and len(blocks) == 6  # it is noticed in the next block, and nothing runs after it
    found = energy_figures.variant(energy, "original", 0.010)
    assert found["status"] == "measured" and found["gross_j"] == pytest.approx(0.12)
    assert found["reason"] == "Input/output error"
    flag = next(energy_flags(energy, QUERY_S, {}))
    assert (flag["code"], flag["severity"], flag["affects"]) == ("meter", "invalid", "energy")
    assert energy_figures.compared(energy, "original", "int8")["energy"]["blocks"] == 2  # whole pairs only


def test_a_meter_that_never_starts_is_not_measured():
    machine = Machine()
    machine.meter.value = "Permission denied"
    energy = machine.measure()
    assert energy_figures.variant(energy, "int8", 0.005) == {
        "status": "not_measured", "reason": "counting: Permission denied",
    }  # fmt: skip
    assert energy_figures.compared(energy, "original", "int8") == {}
    assert [flag["severity"] for flag in energy_flags(energy, QUERY_S, {})] == ["invalid"]


def test_a_counter_that_stands_still_is_no_zero():
    # M10
    machine = Machine()
    machine._burn = lambda *_: None
    found = energy_figures.variant(machine.measure(), "int8", 0.005)
    assert found["status"] == "not_measured" and "gave 0 J" in found["reason"] and "gross_j" not in found


def flags_of(machine, query_s=None, system=None, **options):
    return {flag["code"]: flag for flag in energy_flags(machine.measure(**options), query_s or QUERY_S, system or {})}


def test_a_sampler_that_slows_the_run_is_flagged():
    flags = flags_of(Machine(), {"original": 0.010, "int8": 0.0048})
    assert set(flags) == {"sampler_disturbed"} and flags["sampler_disturbed"]["variant"] == "int8"
    assert "int8 ran 4.2% slower" in flags["sampler_disturbed"]["evidence"]


def test_a_coarse_counter_is_flagged():
    machine = Machine()
    machine.meter.lsb_j = 0.5  # int8 burns 240 J a block
    assert "moved by 480 steps" in flags_of(machine)["few_counter_steps"]["evidence"]


def test_throttling_while_energy_is_measured_is_flagged():
    hot = iter(range(1000))
    flags = flags_of(Machine(), look=lambda: Snapshot(throttle_count=next(hot)))
    assert flags["throttled"]["affects"] == "energy" and flags["throttled"]["severity"] == "invalid"


@pytest.mark.parametrize("name,expected", [("shelly", {"charging"}), ("log", {"charging"}), ("nvml", set())])
def test_a_battery_that_charges_is_in_what_stands_before_the_supply(name, expected):
    machine = Machine()
    machine.meter.name = name
    flags = flags_of(machine, look=lambda: Snapshot(charging=True))
    assert set(flags) == expected and all(flag["severity"] == "invalid" for flag in flags.values())
    assert all(flag["affects"] == "energy" for flag in flags.values())


def test_a_mains_plug_that_is_pulled_while_energy_is_measured_is_flagged():
    battery = iter([False] * 4 + [True] * 1000)
    flags = flags_of(Machine(), look=lambda: Snapshot(on_battery=next(battery)))
    assert flags["power_changed"]["affects"] == "energy"


def test_a_counter_shared_with_others_is_flagged():
    machine = Machine()
    machine.meter.name = "rapl"
    assert "shared_meter" in flags_of(machine, system={"container": "docker"})
    assert "shared_meter" not in flags_of(Machine(), system={"container": "docker"})


def test_windows_are_as_long_as_the_sensor_needs():
    assert plan_for(preset("standard"), Counting()) == EnergyPlan(10, 30.0, 60.0)
    assert plan_for(preset("quick"), Counting()) == EnergyPlan(5, 10.0, 15.0, idle_after=False)
    slow = plan_for(preset("standard"), Battery())
    assert (slow.block_s, slow.idle_s) == (300.0, 300.0)
    # two variants, as the presets promise: 2, 12 and 43 minutes
    assert [round(plan_for(preset(name), Counting()).seconds(2) / 60) for name in ("quick", "standard", "full")] == [
        2, 12, 43,
    ]  # fmt: skip


def test_the_full_preset_idles_in_between():
    machine = Machine()
    energy = machine.measure(plan=EnergyPlan(4, 10.0, 10.0, idle_between=True))
    assert [one.watts for one in energy.idles] == pytest.approx([2.0] * 3)
    assert energy_figures.variant(energy, "int8", 0.005)["idle"]["between_w"] == pytest.approx(2.0)
