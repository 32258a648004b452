"""Scales and zero points of ranges that are known."""

import pytest
import torch

from edgeft.quant.quantizer import BiasQuantizer, Quantizer, SameGrid
from edgeft.scheme import MIN_SCALE, S8S8, U8S8, U8S8_7BIT


def ranged(low: float, high: float, clip=None, scheme=U8S8) -> Quantizer:  # type: ignore[no-untyped-def]
    quantizer = Quantizer(scheme.activation, clip=clip)
    quantizer.set_range((low, high))
    return quantizer


def test_range_by_hand() -> None:
    # [-1, 4.1] over 255 steps: s = 0.02, z = round(1 / 0.02) = 50
    quantizer = ranged(-1.0, 4.1)
    assert quantizer.scale.item() == pytest.approx(0.02)
    assert quantizer.zero_point.item() == 50


def test_int8_activations_are_the_uint8_grid_shifted_by_128() -> None:
    u8, s8 = ranged(-1.0, 4.1), ranged(-1.0, 4.1, scheme=S8S8)
    assert s8.zero_point.item() == u8.zero_point.item() - 128
    x = torch.linspace(-3, 6, 1001)
    for quantizer in (u8, s8):
        quantizer.mode = "train"
    assert torch.equal(u8(x), s8(x))


@pytest.mark.parametrize("low,high", [(1.0, 3.0), (-3.0, -1.0), (0.0, 0.0)])
def test_zero_is_exact_for_ranges_on_one_side(low: float, high: float) -> None:  # Q07
    quantizer = ranged(low, high)
    quantizer.mode = "train"
    assert quantizer.scale.item() >= 0.99 * MIN_SCALE  # stored as float32
    assert quantizer(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_relu6_stays_redundant_however_the_scale_is_trained() -> None:
    # The device drops the clip when round(6 / s) + z >= 255, so s may not exceed 6 / 255.
    quantizer = ranged(0.0, 6.5, clip=(0.0, 6.0))
    assert quantizer.scale.item() == pytest.approx(6 / 255)
    assert quantizer.zero_point.item() == 0
    with torch.no_grad():
        quantizer.scale.fill_(1.0)
    quantizer.clamp()
    assert quantizer.scale.item() == pytest.approx(6 / 255)


@pytest.mark.parametrize("low,high", [(-0.2, 1.0), (-1.0, 0.3), (-1.0, 1.0), (0.0, 0.7)])
def test_a_clip_of_two_sides_stays_redundant_on_both(low: float, high: float) -> None:
    # quantization.md 4.2: both rint(-1 / s) + z <= 0 and rint(1 / s) + z >= 255 must hold, at any scale training finds.
    quantizer = ranged(low, high, clip=(-1.0, 1.0))
    z = int(quantizer.zero_point)
    for grown in (1.0, 1.3, 50.0):
        with torch.no_grad():
            quantizer.scale.mul_(grown)
        quantizer.clamp()
        s = quantizer.scale.item()
        assert round(-1 / s) + z <= 0 and round(1 / s) + z >= 255
    assert s <= 1 / max(z, 255 - z) * 1.000001


def test_a_clip_whose_bounds_leave_zero_out_costs_no_range() -> None:
    # clamp(x, 1, 3): the grid holds zero, so the lower bound stays a Clip on the device; 3 must still be reached.
    quantizer = ranged(1.0, 3.0, clip=(1.0, 3.0))
    quantizer.mode = "train"
    assert quantizer(torch.tensor([3.0])).item() == pytest.approx(3.0)


def test_weight_scales_per_channel_and_a_dead_channel() -> None:  # Q07
    weight = torch.tensor([[1.27, -0.5], [0.0, 0.0]])
    quantizer = Quantizer(U8S8.weight, channels=2)
    quantizer.mode = "calibrate"
    out = quantizer(weight)
    assert quantizer.scale.tolist() == pytest.approx([0.01, MIN_SCALE])
    assert out[1].tolist() == [0.0, 0.0]


def test_seven_bit_weights_stay_within_64() -> None:
    weight = torch.tensor([[0.64, -0.64, 0.011]])
    quantizer = Quantizer(U8S8_7BIT.weight, channels=1)
    quantizer.mode = "calibrate"
    codes = (quantizer(weight) / quantizer.scale.detach()).round()
    assert codes.tolist() == [[64.0, -64.0, 1.0]]


def test_state_survives_a_save_and_a_load() -> None:
    quantizer = ranged(-1.0, 4.1)
    other = Quantizer(U8S8.activation)
    other.load_state_dict(quantizer.state_dict())
    x = torch.linspace(-3, 6, 100)
    quantizer.mode = other.mode = "train"
    assert torch.equal(quantizer(x), other(x))


def test_same_grid_computes_nothing_in_training_and_the_pair_on_export() -> None:
    quantizer = ranged(-1.0, 4.1)
    again = SameGrid(quantizer)
    x = torch.linspace(-3, 6, 100)
    again.mode = "train"
    assert again(x) is x
    again.mode = quantizer.mode = "export"
    assert torch.equal(again(x), quantizer(x))
    assert not list(again.parameters())


def test_bias_scale_is_the_product_of_the_two_scales() -> None:
    data, weight = ranged(0.0, 5.1), Quantizer(U8S8.weight, channels=2)
    weight.set_from_weight(torch.tensor([[1.27], [2.54]]))
    bias = BiasQuantizer(data, weight)
    assert bias.scale().tolist() == pytest.approx([0.02 * 0.01, 0.02 * 0.02])
    bias.mode = "export"
    b = torch.tensor([0.00031, -1.0])
    assert bias(b) is b
    bias.mode = "train"
    assert bias(b).tolist() == pytest.approx([0.0004, -1.0], rel=1e-6)


def test_bias_too_large_for_int32_enlarges_the_weight_scale() -> None:
    # A channel of zero weights has scale 1e-8; with s_x = 0.02 a bias of 0.5 would need the code 2.5e9.
    data, weight = ranged(0.0, 5.1), Quantizer(U8S8.weight, channels=1)
    weight.set_from_weight(torch.zeros(1, 1))
    quantizer = BiasQuantizer(data, weight)
    quantizer.mode = "train"
    bias = torch.tensor([0.5])
    quantizer.fit(bias)
    assert (bias / quantizer.scale()).item() < 2**31 - 1
    assert quantizer(bias).item() == pytest.approx(0.5, rel=1e-6)
