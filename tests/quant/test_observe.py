"""Ranges from a stream: exact where they must be exact, and never the wrong side of the percentile."""

import pytest
import torch

from edgeft.quant.observe import BINS, RangeObserver, mean_squared_error, min_max, percentile


def observed(*batches: torch.Tensor) -> RangeObserver:
    seen = RangeObserver()
    for batch in batches:
        seen.add(batch)
    return seen


def test_minmax_is_exact_over_batches() -> None:
    seen = observed(torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5]), torch.tensor([7.25]))
    assert min_max(seen, 256) == (-3.0, 7.25)


def test_histogram_counts_every_value_when_it_grows() -> None:
    seen = observed(torch.linspace(-1, 1, 1000), torch.linspace(-50, 50, 1000), torch.tensor([1000.0]))
    assert seen.histogram.sum().item() == 2001
    assert seen.histogram.numel() == BINS  # Q09: memory does not grow with the data


def test_percentile_drops_the_rare_end_and_keeps_the_rest() -> None:
    # Q11: 1 of 100,000 values is an outlier; the bound must be that of the others, not the outlier's.
    values = torch.linspace(0, 1, 99_999)
    low, high = percentile(observed(torch.cat([values, torch.tensor([100.0])])), 256)
    assert low == 0.0
    assert 0.95 < high < 1.1
    assert min_max(observed(torch.cat([values, torch.tensor([100.0])])), 256)[1] == 100.0


def test_percentile_of_two_sides() -> None:
    values = torch.linspace(-2, 3, 1_000_000)
    low, high = percentile(observed(values), 256)
    width = 2 * 3.0003 / BINS
    assert low == pytest.approx(-2 + 5e-4, abs=width)
    assert high == pytest.approx(3 - 5e-4, abs=width)


def test_squared_error_clips_a_lone_outlier_but_not_a_uniform_range() -> None:
    uniform = torch.linspace(-1, 1, 100_000)
    assert mean_squared_error(observed(uniform), 256)[1] == pytest.approx(1.0, abs=0.011)
    spike = torch.cat([torch.randn(100_000), torch.tensor([60.0])])
    assert mean_squared_error(observed(spike), 256)[1] < 60 * 0.9


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    seen = observed(torch.tensor([1.0, float("inf"), float("nan"), -2.0]))
    assert min_max(seen, 256) == (-2.0, 1.0)
    assert seen.not_finite == 2
