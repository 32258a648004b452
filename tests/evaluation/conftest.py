"""Short durations for tests that measure for real, and a bundle to measure."""

import pytest
from make_bundle import make_bundle

from edgeft.evaluation import energy_plan, latency, presets
from edgeft.specs import EvalSpec

SHORT = presets.Preset("quick", "quick - not for publication", 4, 0.02, 0.08, 80, 4.0, 0.0, 1, (0.9,))


@pytest.fixture
def short(monkeypatch):
    """The preset quick in a fraction of a second; what is done stays the same."""
    monkeypatch.setitem(presets.PRESETS, "quick", SHORT)
    monkeypatch.setattr(latency, "WARM_S", 0.02)
    monkeypatch.setattr(latency, "WARM_STEP_S", 0.01)
    monkeypatch.setattr(latency, "WARM_CAP_S", 0.1)
    monkeypatch.setitem(energy_plan.PLANS, "quick", energy_plan.EnergyPlan(4, 0.05, 0.05))
    monkeypatch.setattr(latency, "SETTLE", latency.BlockRule(3, 0.0, 1.0))


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "linear").path


@pytest.fixture
def spec(bundle_path, tmp_path, short):
    def make(bundle=bundle_path, **options):
        given = {"preset": "quick", "output": tmp_path / "result", "profile": "generic", "threads": 1, "meter": "none"}
        given |= options
        return EvalSpec(bundle=bundle, **given)

    return make
