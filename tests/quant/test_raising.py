"""16-bit activations of chosen layers: which tensors widen, and where a conversion stands."""

import pytest
import torch

from edgeft.errors import UsageError
from edgeft.quant.engine import QuantModel, build, calibrate
from edgeft.quant.raising import raise_activations
from edgeft.quant.store import load_state, save_state
from edgeft.scheme import U8S8, U8U8
from tests.quant.models import model_and_batch
from tests.quant.nets import IMAGE, Convolutions, images


def raised(*layers: str) -> tuple[QuantModel, Convolutions, dict[str, torch.Tensor]]:
    net, batch = Convolutions(), images()
    model = build(net, IMAGE, batch, U8U8)
    raise_activations(model, dict.fromkeys(layers, "because"))
    calibrate(model, [batch], apart=True)
    return model, net, batch


def widths(model: QuantModel) -> dict[str, str]:
    return {name: q.grid.dtype for name, q in model.quantizers() if "weight" not in name}


def test_what_a_raised_layer_reads_and_makes_is_wide_and_the_rest_is_converted() -> None:
    model, _, _ = raised("conv2d_1")
    assert widths(model) == {
        "pixel_values_fq": "u8", "relu_fq": "u8", "conv2d_1_input0_as_u16_fq": "u16", "conv2d_1_fq": "u16",
        "add_input0_as_u8_fq": "u8", "add_fq": "u8", "mean_fq": "u8", "linear_fq": "u8",
    }  # fmt: skip


def test_an_input_that_only_raised_layers_read_is_wide_itself() -> None:
    model, _, _ = raised("conv2d")
    found = widths(model)
    assert found["pixel_values_fq"] == found["relu_fq"] == "u16"
    assert found["conv2d_1_input0_as_u8_fq"] == found["add_input1_as_u8_fq"] == "u8"


def test_the_bias_follows_what_its_layer_reads() -> None:
    model, _, _ = raised("conv2d_1")
    get = model.graph.get_submodule
    wanted = get("conv2d_1_input0_as_u16_fq").scale * get("conv2d_1_weight_fq").scale
    assert torch.equal(get("conv2d_1_bias_fq").scale(), wanted.detach())  # type: ignore[operator]


def test_all_raised_it_is_much_nearer_to_float() -> None:
    def error(model: QuantModel, net: Convolutions, batch: dict[str, torch.Tensor]) -> float:
        with torch.no_grad():
            for name, q in model.quantizers():
                q.mode = "float" if "weight" in name else "train"
            return float((model(**batch) - net(**batch)).abs().max())

    plain = raised()
    wide = raised("conv2d", "conv2d_1", "add", "mean", "linear")
    assert set(widths(wide[0]).values()) == {"u16"}
    assert error(*wide) < error(*plain) / 50


def test_fixed_grids_are_those_of_the_width() -> None:
    model, inputs, batch = model_and_batch("bert")
    quantized = build(model, inputs, batch, U8U8)
    raise_activations(quantized, {"softmax": "because"})
    found = dict(quantized.quantizers())
    assert (found["softmax_fq"].scale.item(), found["softmax_1_fq"].scale.item()) == (1 / 65536, 1 / 256)
    calibrate(quantized, [batch])
    assert torch.isfinite(quantized(**batch)).all()


def test_a_target_without_16_bit_activations_refuses() -> None:
    model = build(Convolutions(), IMAGE, images(), U8S8)
    with pytest.raises(UsageError, match="computes with uint8 activations, int8 weights per channel and nothing wider"):
        raise_activations(model, {"conv2d": "because"})
    with pytest.raises(KeyError):
        raise_activations(build(Convolutions(), IMAGE, images(), U8U8), {"conv2d_7": "because"})


def test_saved_and_loaded_it_is_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, net, batch = raised("conv2d_1")
    save_state(model, tmp_path, "calibrated")
    again = build(net, IMAGE, batch, U8U8)
    load_state(again, tmp_path, "calibrated")
    assert again.raised == model.raised == {"conv2d_1": "because"}
    with torch.no_grad():
        assert torch.equal(again(**batch), model(**batch))
