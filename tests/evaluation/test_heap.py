"""Older objects are left out of garbage collection while something is measured."""

import gc

import pytest

from edgeft.evaluation.heap import left_out
from edgeft.evaluation.run import evaluate


@pytest.fixture
def nothing_left_out():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_older_objects_are_left_out_and_come_back(nothing_left_out):
    older = [[] for _ in range(1000)]
    assert left_out(gc.get_freeze_count)() > len(older)
    assert gc.get_freeze_count() == 0


def test_younger_ones_are_collected(nothing_left_out):
    class Cycle:
        ended = 0

        def __del__(self):
            Cycle.ended += 1

    @left_out
    def story():
        cycle = Cycle()
        cycle.itself = cycle
        del cycle
        gc.collect()
        return Cycle.ended

    assert story() == 1


def test_they_come_back_after_an_error(nothing_left_out):
    @left_out
    def story():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        story()
    assert gc.get_freeze_count() == 0


def test_what_the_program_left_out_itself_stays_so(nothing_left_out):
    gc.freeze()
    before = gc.get_freeze_count()
    # A few of them end meanwhile; without the program's own arrangement none would be left out at the end.
    assert left_out(gc.get_freeze_count)() > before / 2 and gc.get_freeze_count() > before / 2


def test_an_evaluation_leaves_them_out(spec, monkeypatch, nothing_left_out):
    seen = []
    monkeypatch.setattr("edgeft.evaluation.run.Bundle.open", lambda path: seen.append(gc.get_freeze_count()) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(spec())
    assert seen[0] > 0
