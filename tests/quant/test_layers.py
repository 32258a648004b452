"""Which layers a graph has, what they answer to, and whose quantizers go when one computes in float."""

import pytest

from edgeft.errors import UsageError
from edgeft.quant.layers import Edge, Layer, Wiring, choose
from edgeft.scheme import S8S8_SYMMETRIC, U8U8
from tests.quant.models import model_and_batch
from tests.quant.nets import calibrated, convolutions, names, text

QUERY = Layer("linear_3", "linear", "bert.encoder.layer.0.attention.self.query")


@pytest.mark.parametrize(
    "pattern", ["linear", "linear_3", "linear_*", "*.query", QUERY.module, "bert.encoder.layer.0", "bert", "lin*", "*"]
)
def test_a_layer_answers_to_its_names(pattern: str) -> None:
    assert QUERY.answers_to(pattern)


@pytest.mark.parametrize("pattern", ["conv2d", "linear_33", "query", "bert.encoder.layer.1", "bert.enc", "Linear", ""])
def test_and_to_no_others(pattern: str) -> None:
    assert not QUERY.answers_to(pattern)


def test_layers_of_a_net_in_its_order() -> None:
    model, _ = convolutions()
    assert [(layer.name, layer.kind, layer.module) for layer in Wiring(model).layers] == [
        ("conv2d", "conv2d", "stem"), ("conv2d_1", "conv2d", "block"), ("add", "add", ""), ("mean", "mean", ""),
        ("linear", "linear", "head"),
    ]  # fmt: skip


def test_who_makes_and_who_reads_each_tensor() -> None:
    model, _ = convolutions()
    assert set(Wiring(model).edges) == {
        Edge("pixel_values_fq", None, frozenset({"conv2d"})),
        Edge("relu_fq", "conv2d", frozenset({"conv2d_1", "add"})),
        Edge("conv2d_1_fq", "conv2d_1", frozenset({"add"})),
        Edge("add_fq", "add", frozenset({"mean"})),
        Edge("mean_fq", "mean", frozenset({"linear"})),
    }


def test_a_float_convolution_keeps_the_tensors_its_neighbours_need() -> None:
    wiring = Wiring(convolutions()[0])
    # The sum reads what it writes, and the first convolution writes what it reads.
    assert wiring.off(["conv2d_1"]) == {"conv2d_1_weight_fq", "conv2d_1_bias_fq"}
    # Nobody else reads the picture.
    assert wiring.off(["conv2d"]) == {"pixel_values_fq", "conv2d_weight_fq", "conv2d_bias_fq"}
    # Between two float layers nothing is quantized, nor before a mean, which takes floats as well.
    assert wiring.off(["add", "conv2d_1"]) == {"conv2d_1_weight_fq", "conv2d_1_bias_fq", "conv2d_1_fq", "add_fq"}
    # A convolution writes integers even when only float layers read them: else it would be a float one itself.
    assert "relu_fq" not in wiring.off(["add", "conv2d_1"])


def test_a_float_linear_layer_takes_the_grid_of_what_only_it_reads() -> None:
    wiring = Wiring(text()[0])
    assert wiring.off(["linear_1"]) == {"linear_1_weight_fq", "linear_1_bias_fq", "gelu_fq"}
    assert wiring.off(["linear"]) == {"linear_weight_fq", "linear_bias_fq"}  # it reads rows of a table
    assert wiring.off(["gelu"]) == set()  # the layer behind it needs the grid
    # A mean writes integers, whoever reads them.
    assert wiring.off(["linear_2"]) == {"linear_2_weight_fq", "linear_2_bias_fq"}


def test_where_everything_must_be_on_a_grid_linear_layers_write_integers_too() -> None:
    assert Wiring(text(U8U8)[0]).off(["gelu"]) == set()


def test_on_grids_of_inputs_only_the_readers_count() -> None:
    wiring = Wiring(convolutions(S8S8_SYMMETRIC)[0])
    found = {edge.quantizer: edge.readers for edge in wiring.edges}
    shared = next(name for name, readers in found.items() if "conv2d_1" in readers)
    assert found[shared] >= {"conv2d_1"}
    assert shared not in wiring.off(["conv2d_1"]) or found[shared] == {"conv2d_1"}
    assert wiring.off([layer.name for layer in wiring.layers]) >= names(convolutions(S8S8_SYMMETRIC)[0])


@pytest.mark.parametrize("name", ["bert", "mobilenetv3_small_050", "resnet18", "vit_tiny_patch16_224"])
def test_with_all_layers_in_float_no_quantizer_is_left(name: str) -> None:
    from edgeft.quant.engine import build
    from edgeft.scheme import U8S8

    model, inputs, batch = model_and_batch(name)
    quantized = calibrated(build(model, inputs, batch, U8S8), batch)
    wiring = Wiring(quantized)
    assert names(quantized) - wiring.off([layer.name for layer in wiring.layers]) == set()
    around = {name for layer in wiring.layers for name in wiring.around(layer.name)}
    assert names(quantized) <= around


def test_patterns_choose_layers_and_say_which_did() -> None:
    layers = Wiring(text()[0]).layers
    assert choose(layers, ["gelu", "linear", "head"], "--keep-float") == {
        "linear": "linear", "gelu": "gelu", "linear_1": "linear", "linear_2": "linear",
    }  # fmt: skip


def test_a_pattern_without_a_layer_is_refused_with_a_hint() -> None:
    layers = Wiring(text()[0]).layers
    with pytest.raises(UsageError, match="--keep-float linaer: this model has no such layer; did you mean 'linear'"):
        choose(layers, ["linaer"], "--keep-float")
    with pytest.raises(UsageError, match=r"name one of its kinds \(embedding, gelu, linear, mean\)"):
        choose(layers, ["zzz*"], "--keep-float")
