"""How often nominal 95 % intervals hold the truth, by seeded simulation: macro-F1, net energy, unpaired blocks."""

import functools
import math

import numpy as np
import pytest

from edgeft.evaluation import accuracy, energy_figures, stats
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_figures import Energy, Idle
from edgeft.evaluation.energy_pass import IDLE_PARTS, LoadBlock
from edgeft.evaluation.recorders import Edge, Window
from edgeft.report.sidebyside import welch_ratio
from tests.evaluation.meters.steady_meter import TenWatts


def joint(shares, right, new_right_given_right, new_right_given_wrong):
    """P(label, answer of the baseline, answer of the new one) [3, 3, 3]; what is wrong is wrong evenly."""
    table = np.zeros((3, 3, 3))
    for label, share in enumerate(shares):
        for before in range(3):
            p = share * (right[label] if before == label else (1 - right[label]) / 2)
            stays = new_right_given_right if before == label else new_right_given_wrong
            for after in range(3):
                table[label, before, after] = p * (stays if after == label else (1 - stays) / 2)
    return table


def true_macro_f1(table):
    """table: P(label, answer) [3, 3]. F1 of a class is 2 P(both) / (P(label) + P(answer))."""
    return float(np.mean(2 * np.diag(table) / (table.sum(axis=1) + table.sum(axis=0))))


def test_the_bootstrap_interval_of_macro_f1(monkeypatch):
    monkeypatch.setattr(stats, "bootstrap_difference", functools.partial(stats.bootstrap_difference, draws=300))
    table = joint((0.6, 0.3, 0.1), (0.95, 0.85, 0.7), 0.96, 0.3)
    truth = true_macro_f1(table.sum(axis=1)) - true_macro_f1(table.sum(axis=2))
    rng, trials, covered = np.random.default_rng(3), 250, 0
    for trial in range(trials):
        label, before, after = np.unravel_index(rng.choice(27, 400, p=table.ravel()), table.shape)
        low, high = accuracy._macro_f1(before, after, label, 3, trial)["ci95"]
        covered += low <= truth <= high
    # A percentile bootstrap is a little narrow; three standard errors of 250 trials at 95 % are 4 points.
    assert 0.91 <= covered / trials <= 0.99


IDLE_W, SECONDS, BLOCKS = 2.0, 30.0, 10
# watts and examples a second: 0.06 J gross and 0.04 J net an example; 0.02 J and 0.01 J
LOAD = {"original": (6.0, 100.0), "int8": (4.0, 200.0)}


def simulated(rng, noise: float, idle_noise_w: float, baselines: int) -> Energy:
    """Load blocks whose joules scatter by `noise`, and idle baselines whose parts scatter by watts."""
    idles = []
    for at_s in (0.0, 1000.0)[:baselines]:
        parts = rng.normal(IDLE_W, idle_noise_w, IDLE_PARTS)
        idles.append(Idle(at_s, float(parts.mean()), float(parts.std(ddof=1)) / math.sqrt(IDLE_PARTS)))
    blocks = []
    for order in range(BLOCKS * len(LOAD)):
        name = list(LOAD)[order % 2]
        watts, rate = LOAD[name]
        start = 50.0 + 45.0 * order
        block = LoadBlock(
            order, order // 2, name, start, Edge(start), Edge(start + SECONDS), int(rate * SECONDS),
            int(rate * SECONDS), 1 / rate, Snapshot(), Snapshot(),
        )  # fmt: skip
        blocks.append((block, Window(watts * SECONDS * math.exp(rng.normal(0, noise)), SECONDS)))
    return Energy(Choice("ten-watts", TenWatts(None, "")), tuple(idles), tuple(blocks))


@pytest.mark.parametrize(
    ("noise", "idle_noise_w", "baselines"),
    [(0.01, 0.01, 2), (0.01, 0.2, 2), (0.002, 0.2, 2), (0.002, 0.2, 1)],
    ids=["blocks", "both", "idle", "one baseline"],
)
def test_the_intervals_of_net_energy(noise, idle_noise_w, baselines):
    """Where blocks scatter most, where both do, and where idle, which all blocks share, is what is not known."""
    rng, trials = np.random.default_rng(17), 1000
    covered = {"gross": 0, "net": 0, "net ratio": 0}
    for _ in range(trials):
        energy = simulated(rng, noise, idle_noise_w, baselines)
        found = energy_figures.variant(energy, "int8", 1 / LOAD["int8"][1])
        low, high = found["gross_ci95"]
        covered["gross"] += low <= 0.02 <= high
        low, high = found["net_ci95"]
        covered["net"] += low <= 0.01 <= high
        low, high = energy_figures.compared(energy, "original", "int8")["energy"]["net"]["ci95"]
        covered["net ratio"] += low <= 0.01 / 0.04 <= high
    # three standard errors of 1,000 trials at 95 % are 2.1 points
    assert all(0.929 <= count / trials <= 0.98 for count in covered.values()), covered


@pytest.mark.parametrize(
    ("blocks", "noise"), [((10, 10), (0.01, 0.01)), ((10, 10), (0.01, 0.05)), ((5, 20), (0.05, 0.01))]
)
def test_welchs_interval_of_two_sittings(blocks, noise):
    """Unequal scatter and unequal numbers of blocks, where Student's pooled interval fails."""
    rng, trials, covered = np.random.default_rng(23), 3000, 0
    for _ in range(trials):
        before, after = (np.exp(rng.normal(0, s, n)) for s, n in zip(noise, blocks, strict=True))
        ratio = welch_ratio(2 * before, after)
        covered += ratio.low <= 2.0 <= ratio.high
    # three standard errors of 3,000 trials at 95 % are 1.2 points; degrees of freedom are rounded down: a little wide
    assert 0.938 <= covered / trials <= 0.975


def test_two_sittings_of_the_same_are_rarely_told_apart():
    rng, trials = np.random.default_rng(29), 4000
    alarms = 0
    for _ in range(trials):
        ratio = welch_ratio(*(np.exp(rng.normal(0, 0.01, 10)) for _ in range(2)))
        alarms += not ratio.low <= 1 <= ratio.high
    assert 0.03 < alarms / trials <= 0.06
