"""Short durations for tests that measure for real, and a bundle to measure."""

import pytest

from edgeft.specs import EvalSpec
from tests.evaluation.make_bundle import make_bundle
from tests.evaluation.shortened import shorten


@pytest.fixture
def short(monkeypatch):
    shorten(monkeypatch.setitem, monkeypatch.setattr)


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
