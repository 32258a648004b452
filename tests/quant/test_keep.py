"""Layers in float by choice: what leaves the graph, what stays, and what it computes."""

from pathlib import Path

import pytest
import torch

from edgeft.quant.engine import QuantModel, build, calibrate
from edgeft.quant.keep import keep_float
from edgeft.quant.layers import Wiring
from edgeft.quant.quantizer import Quantizer
from edgeft.quant.store import chosen_layers, load_state, save_state
from edgeft.scheme import U8S8
from tests.quant.models import model_and_batch
from tests.quant.nets import IMAGE, TEXT, Convolutions, Words, convolutions, images, names, text, words


def test_only_the_layer_named_loses_its_quantizers() -> None:
    model, _ = convolutions()
    before = names(model)
    keep_float(model, {"conv2d": "because"})
    assert before - names(model) == {"pixel_values_fq", "conv2d_weight_fq"}
    assert model.kept == {"conv2d": "because"} and ("conv2d", "because") in model.float_nodes
    assert "conv2d" not in [layer.name for layer in Wiring(model).layers]


def test_a_float_layer_computes_what_the_float_model_computes() -> None:
    net, batch = Convolutions(), images()
    model = build(net, IMAGE, batch, U8S8)
    keep_float(model, {"conv2d": "because"})
    calibrate(model, [batch])
    seen: list[torch.Tensor] = []
    model.graph.get_submodule("relu_fq").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(**batch)
        assert torch.allclose(seen[0], torch.relu(net.stem(batch["pixel_values"])), atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "mobilenetv3_small_050"])
def test_with_all_layers_in_float_it_is_the_float_model(name: str) -> None:
    model, inputs, batch = model_and_batch(name)
    quantized = build(model, inputs, batch, U8S8)
    keep_float(quantized, {layer.name: "because" for layer in Wiring(quantized).layers})
    assert names(quantized) == set()
    out = model(**batch)
    logits = out if isinstance(out, torch.Tensor) else out.logits
    with torch.no_grad():
        assert torch.allclose(quantized(**batch), logits, atol=5e-4, rtol=1e-3)


def test_rows_of_a_float_table_get_a_grid_of_their_own() -> None:
    batch = words()
    model = build(Words(), TEXT, batch, U8S8)
    keep_float(model, {"embedding": "because"})
    calibrate(model, [batch])
    rows = model.graph.get_submodule("embedding_fq")
    assert isinstance(rows, Quantizer) and rows.grid == U8S8.activation
    read = model.graph.get_parameter("model.table.weight").detach()[batch["input_ids"]]
    low, high = read.min(), read.max()
    assert rows.scale.item() == pytest.approx((high - low).item() / 255, rel=0.02)
    # the bias behind it lies on the product of the new scale and the weight's
    bias = model.graph.get_submodule("linear_bias_fq")
    assert torch.equal(bias.scale(), rows.scale * model.graph.get_submodule("linear_weight_fq").scale)  # type: ignore[operator]


def test_a_float_table_read_by_float_layers_gets_none() -> None:
    model = build(Words(), TEXT, words(), U8S8)
    keep_float(model, {"embedding": "because", "linear": "because"})
    assert "embedding_fq" not in names(model) and "embedding_table_fq" not in names(model)


def test_a_layer_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        keep_float(convolutions()[0], {"conv2d_9": "because"})


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    net, batch = Words(), words()

    def fresh() -> QuantModel:
        return build(net, TEXT, batch, U8S8)

    model = fresh()
    keep_float(model, {"embedding": "one", "linear_1": "two"})
    calibrate(model, [batch])
    save_state(model, tmp_path, "calibrated")
    assert chosen_layers(tmp_path).kept == [
        {"layer": "embedding", "module": "table", "reason": "one"},
        {"layer": "linear_1", "module": "narrow", "reason": "two"},
    ]
    again = fresh()
    load_state(again, tmp_path, "calibrated")
    assert again.kept == model.kept and names(again) == names(model)
    with torch.no_grad():
        assert torch.equal(again(**batch), model(**batch))


def test_frozen_and_kept_layers_learn_nothing_and_the_rest_does() -> None:
    net, batch = Words(), words()
    net.table.requires_grad_(False)
    model = build(net, TEXT, batch, U8S8)
    keep_float(model, {"linear_1": "because"})
    calibrate(model, [batch])
    model(**batch).square().sum().backward()
    learning = {name for name, p in model.graph.named_parameters() if p.grad is not None}
    assert "model.table.weight" not in learning and "model.narrow.weight" in learning
    assert "embedding_table_fq.scale" in learning and not any(name.startswith("linear_1_w") for name in learning)


def test_text_keeps_its_free_length() -> None:
    model, _ = text()
    keep_float(model, {"gelu": "because"})
    with torch.no_grad():
        assert model(input_ids=torch.randint(0, 20, (3, 11))).shape == (3, 5)
