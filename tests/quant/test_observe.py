"""Ranges from a stream: exact where they must be exact, and never the wrong side of the percentile."""

import pytest
import torch

from edgeft.quant.observe import BINS, RangeObserver, collapsed, mean_squared_error, min_max, percentile


def observed(*batches: torch.Tensor) -> RangeObserver:
    seen = RangeObserver()
    for batch in batches:
        seen.add(batch)
    return seen


def test_minmax_is_exact_over_batches() -> None:
    seen = observed(torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5]), torch.tensor([7.25]))
    assert min_max(seen, 256) == (-3.0, 7.25)


def test_histogram_counts_every_value_wherever_it_lies() -> None:
    seen = observed(torch.linspace(-1, 1, 1000), torch.linspace(-50, 50, 1000), torch.tensor([1e30, -1e-30, 0.0, -0.0]))
    assert seen.histogram.sum().item() == 2004
    # Bins: what lies in [1, 1 + 1/128) is one, and what counts as zero another.
    assert observed(torch.tensor([1.0, 1.0078, 1.0079])).histogram.nonzero().numel() == 2
    assert observed(torch.tensor([1e-30, 0.0, -0.0, -1e-9])).histogram[BINS // 2].item() == 4


def state_bytes(seen: RangeObserver) -> int:
    tensors = [value for value in vars(seen).values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_memory_does_not_grow_with_the_number_of_samples() -> None:  # Q09
    few, many = observed(torch.randn(10)), observed(*(torch.randn(5000) * 10.0**n for n in range(-5, 6)))
    assert state_bytes(few) == state_bytes(many) == 8 * BINS
    assert len(vars(few)) == len(vars(many))
    assert not any(isinstance(value, (list, dict)) for value in vars(many).values())


def test_the_order_of_batches_changes_nothing() -> None:
    batches = [torch.randn(1000), torch.randn(1000) * 40, torch.tensor([3e4])]
    one, other = observed(*batches), observed(*batches[::-1])
    assert torch.equal(one.histogram, other.histogram)
    for method in (min_max, percentile, mean_squared_error):
        assert method(one, 256) == method(other, 256)


def test_percentile_drops_the_rare_end_and_keeps_the_rest() -> None:
    # Q11: 1 of 100,000 values is an outlier; the bound must be that of the others, not the outlier's.
    values = torch.linspace(0, 1, 99_999)
    low, high = percentile(observed(torch.cat([values, torch.tensor([100.0])])), 256)
    assert 0.0 <= low < 2e-4
    assert 0.95 < high < 1.1
    assert min_max(observed(torch.cat([values, torch.tensor([100.0])])), 256)[1] == 100.0


def test_percentile_of_two_sides() -> None:
    values = torch.linspace(-2, 3, 1_000_000)
    low, high = percentile(observed(values), 256)
    assert low == pytest.approx(-2 + 5e-4, rel=1 / 128)
    assert high == pytest.approx(3 - 5e-4, rel=1 / 128)


def test_squared_error_clips_a_lone_outlier_but_not_a_uniform_range() -> None:
    uniform = torch.linspace(-1, 1, 100_000)
    assert mean_squared_error(observed(uniform), 256)[1] == pytest.approx(1.0, abs=0.011)
    spike = torch.cat([torch.randn(100_000), torch.tensor([60.0])])
    assert mean_squared_error(observed(spike), 256)[1] < 4.5


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    seen = observed(torch.tensor([1.0, float("inf"), float("nan"), -2.0]))
    assert min_max(seen, 256) == (-2.0, 1.0)
    assert seen.not_finite == 2


@pytest.mark.parametrize("outlier", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("method", [percentile, mean_squared_error])
def test_an_outlier_however_large_does_not_take_the_codes_of_the_others(method, outlier: float) -> None:  # type: ignore[no-untyped-def]
    # Q08: of 256 levels over [-4, outlier] the other 100,000 values would get 16, one, and one.
    body = torch.randn(100_000)
    low, high = method(observed(torch.cat([body, torch.tensor([outlier])])), 256)
    assert -4.8 < low < -3 and 3 < high < 4.5


def test_squared_error_is_the_smallest_of_all_ranges_tried_one_by_one() -> None:
    values = torch.cat([torch.randn(20_000), torch.randn(200) * 3]).double()
    found = mean_squared_error(observed(values.float()), 16)

    def error(low: float, high: float) -> float:
        scale = (high - low) / 15
        code = (values / scale).round().clamp(round(low / scale), round(high / scale))
        return float((code * scale - values).square().sum())

    best = min(error(-a / 10, b / 10) for a in range(10, 60) for b in range(10, 60))
    assert error(*found) <= 1.05 * best


def test_one_side_is_clipped_and_the_other_is_not() -> None:
    # As behind a GELU: nothing below -0.17, a tail above.
    values = torch.nn.functional.gelu(torch.randn(100_000))
    low, high = mean_squared_error(observed(torch.cat([values, torch.tensor([40.0])])), 256)
    assert low == pytest.approx(values.min().item(), rel=0.02)
    assert high < 8


def test_few_codes_for_many_values_are_noticed() -> None:
    seen = observed(torch.cat([torch.randn(10_000), torch.tensor([1000.0])]))
    low, high = min_max(seen, 256)
    used = collapsed(seen, (high - low) / 255)
    assert used is not None and used <= 3  # steps of 4: nearly all of a bell curve is 0, some -1 and 1
    low, high = percentile(seen, 256)
    assert collapsed(seen, (high - low) / 255) is None


def test_values_that_are_few_themselves_are_no_alarm() -> None:
    # token types, flags: three values need three codes
    seen = observed(torch.tensor([0.0, 1.0, 0.5]).repeat(1000))
    assert collapsed(seen, 1 / 255) is None and collapsed(seen, 1 / 2) is None


def test_all_zeros_have_a_range() -> None:
    seen = observed(torch.zeros(100))
    assert [method(seen, 256) for method in (min_max, percentile, mean_squared_error)] == [(0.0, 0.0)] * 3
