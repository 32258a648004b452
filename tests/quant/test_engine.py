"""The engine over small random models: what is folded, what is quantized, what is left alone, what is learned."""

import pytest
import torch
from torch import nn

from edgeft.errors import FolderError, ModelError
from edgeft.quant.engine import QuantModel, build, calibrate, float_graph
from edgeft.quant.operators import MATMUL, WEIGHTED, name_of
from edgeft.quant.quantizer import BiasQuantizer, Quantizer
from edgeft.quant.store import load_state, save_state
from edgeft.scheme import S8S8_SYMMETRIC, U8S8, U8U8, U16S8
from edgeft.tasks.task import TensorSpec
from tests.quant.models import TEXT as TEXTS
from tests.quant.models import TIMM, Timm, model_and_batch, text_batch, text_model
from tests.quant.nets import MASKED, TEXT, Masked, Words, masked, words

FAMILIES = TIMM + TEXTS
FEATURES = (TensorSpec("x", "float32", ("batch", 4)),)


def plain(model: nn.Module, batch: dict) -> torch.Tensor:  # type: ignore[type-arg]
    with torch.no_grad():
        out = model(**batch)
    return out if isinstance(out, torch.Tensor) else out.logits


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), 0).item()


@pytest.mark.parametrize("name", FAMILIES)
def test_float_graph_computes_what_the_model_computes(name: str) -> None:
    model, inputs, batch = model_and_batch(name)
    graph = float_graph(model, inputs, batch)
    assert graph.float_nodes == []
    with torch.no_grad():
        assert torch.allclose(graph(**batch), plain(model, batch), atol=5e-4, rtol=1e-3)
        one = {key: value[:1] for key, value in batch.items()}
        assert torch.allclose(graph(**one), plain(model, one), atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_product_reads_quantized_numbers(name: str) -> None:
    model, inputs, batch = model_and_batch(name)
    quantized = build(model, inputs, batch, U8S8)
    finder = _finder(quantized)
    products = [n for n in quantized.graph.graph.nodes if name_of(n) in WEIGHTED | MATMUL]
    assert products
    for node in products:
        operands = node.args[:2]
        assert all(finder(operand) is not None for operand in operands), node.name
        if name_of(node) in WEIGHTED and len(node.args) > 2 and node.args[2] is not None:
            assert isinstance(quantized.graph.get_submodule(node.args[2].target), BiasQuantizer)


@pytest.mark.parametrize("name", FAMILIES)
def test_calibrated_model_stays_close_to_float(name: str) -> None:
    model, inputs, batch = model_and_batch(name)
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    assert cosine(quantized(**batch).detach(), plain(model, batch)) > 0.93
    quantized.set_mode("float")
    with torch.no_grad():
        assert torch.allclose(quantized(**batch), plain(model, batch), atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "bert"])
def test_every_parameter_learns(name: str) -> None:
    model, inputs, batch = model_and_batch(name)
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    quantized(**batch).square().sum().backward()
    without = [n for n, p in quantized.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def _finder(quantized: QuantModel):  # type: ignore[no-untyped-def]
    from edgeft.quant.insert import Inserter

    inserter = Inserter(quantized.graph, U8S8)
    inserter.live = set(quantized.graph.graph.nodes)
    return inserter.find


def test_a_mask_never_enters_a_range() -> None:
    model, inputs = text_model("bert")
    batch = text_batch([spec.name for spec in inputs])
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    assert max(q.scale.max().item() for _, q in quantized.quantizers()) < 1.0  # a mask of -3.4e38 would give 1e36


@pytest.mark.parametrize("form", Masked.FORMS)
def test_a_mask_of_minus_infinity_never_enters_a_range(form: str) -> None:
    batch = masked()
    quantized = build(Masked(form), MASKED, batch, U8S8)
    seen: list[torch.Tensor] = []
    for _, quantizer in quantized.quantizers():
        quantizer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    calibrate(quantized, [batch])
    assert seen and all(torch.isfinite(tensor).all() for tensor in seen)
    assert max(q.scale.max().item() for _, q in quantized.quantizers()) < 1.0
    assert torch.isfinite(quantized(**batch)).all()


def test_padding_does_not_change_the_answer() -> None:
    model, inputs = text_model("bert")
    names = [spec.name for spec in inputs]
    quantized = build(model, inputs, text_batch(names), U8S8)
    calibrate(quantized, [text_batch(names)])
    short = text_batch(names, batch=1, length=8)
    padded = {key: torch.nn.functional.pad(value, (0, 8)) for key, value in short.items()}
    with torch.no_grad():
        # float noise may move a value across a rounding tie: a step or two of the logits' own scale, no more
        assert torch.allclose(quantized(**short), quantized(**padded), atol=0.05)


@pytest.mark.parametrize("trainable", [True, False])
def test_weight_normalization_becomes_a_weight_and_the_model_given_keeps_its_own(trainable: bool) -> None:
    class Positional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, padding=1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    model, x = Positional().eval().requires_grad_(trainable), torch.randn(2, 4, 8)
    before = model(x)
    inputs = (TensorSpec("x", "float32", ("batch", 4, "time")),)
    quantized = build(model, inputs, {"x": x}, U8S8)
    assert torch.equal(model(x), before)  # a copied module shares its class, off which the parametrization is taken
    weights = {name: p for name, p in quantized.graph.named_parameters() if name.endswith("weight")}
    assert len(weights) == 1 and next(iter(weights.values())).requires_grad is trainable
    quantized.set_mode("float")
    assert torch.allclose(quantized(x=x), before, atol=1e-6)


class TwoConvsOneWeight(nn.Module):
    """Two convolutions that share a weight, each with a BatchNorm of its own; gamma of the second is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        nn.init.uniform_(self.first.weight, 0.5, 1.5)
        nn.init.zeros_(self.second.weight)
        nn.init.normal_(self.second.bias)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(self.conv(pixel_values)))
        return self.second(self.conv(y)).mean((2, 3))


def test_fold_of_a_shared_weight_and_of_gamma_zero() -> None:
    model = TwoConvsOneWeight().eval()
    inputs = (TensorSpec("pixel_values", "float32", ("batch", 3, 8, 8)),)
    batch = {"pixel_values": torch.randn(2, 3, 8, 8)}
    graph = float_graph(model, inputs, batch)
    with torch.no_grad():
        assert torch.allclose(graph(**batch), model(**batch), atol=1e-5)
    assert graph.float_nodes == []
    assert len([n for n, _ in graph.named_parameters() if n.endswith("folded_weight")]) == 2


class NormFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)
        self.norm.running_mean.normal_()  # type: ignore[union-attr, operator]

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(pixel_values)).mean((2, 3))


def test_a_batchnorm_before_the_convolution_stays_in_eval_and_is_listed() -> None:  # Q03, Q04
    model = NormFirst()  # in training mode on purpose
    inputs = (TensorSpec("pixel_values", "float32", ("batch", 3, 8, 8)),)
    eight = {"pixel_values": torch.randn(8, 3, 8, 8)}
    quantized = build(model, inputs, eight, U8S8)
    assert any("BatchNorm" in reason for _, reason in quantized.float_nodes)
    calibrate(quantized, [eight])
    with torch.no_grad():
        together = quantized(**eight)
        alone = torch.cat([quantized(pixel_values=eight["pixel_values"][i : i + 1]) for i in range(8)])
        assert torch.allclose(together, alone, atol=1e-6)
        assert torch.equal(quantized(**eight), together)
    assert model.training  # the model given is left alone


def test_frozen_parameters_stay_frozen_after_the_fold() -> None:
    model, inputs, batch = model_and_batch("resnet18")
    assert isinstance(model, Timm)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("model.fc"))
    quantized = build(model, inputs, batch, U8S8)
    learning = [n for n, p in quantized.graph.named_parameters() if p.requires_grad and not n.endswith("_fq.scale")]
    assert sorted(learning) == ["model.model.fc.bias", "model.model.fc.weight"]


def test_ranges_set_apart_are_those_of_the_float_model() -> None:
    net, batch = Words(), words()
    with torch.no_grad():
        net.wide.weight[:, 0] = 1e6  # per tensor, nothing is left of the other weights
        net.table.weight[:, 0] = 0
        wanted = net.narrow(torch.nn.functional.gelu(net.wide(net.table(batch["input_ids"]))))
    found = []
    for apart in (True, False):
        model = build(net, TEXT, batch, U8U8)
        calibrate(model, [batch], apart=apart)
        assert all(q.mode == "train" for _, q in model.quantizers())
        found.append(model.graph.get_submodule("linear_1_fq").scale.item())
    assert found[0] == pytest.approx((wanted.max() - wanted.min()).item() / 255, rel=1e-5)
    assert found[1] < 0.8 * found[0]


def test_a_quantizer_without_data_is_an_error_by_name() -> None:  # Q06
    model, inputs, batch = model_and_batch("resnet18")
    quantized = build(model, inputs, batch, U8S8)
    with pytest.raises(ModelError, match="no data reached"):
        calibrate(quantized, [])


def test_not_finite_values_in_calibration_are_an_error() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    built = build(Named(), FEATURES, {"x": torch.randn(3, 4)}, U8S8)
    with pytest.raises(ModelError, match="not finite"):
        calibrate(built, [{"x": torch.full((2, 4), float("inf"))}])


def test_batches_of_any_size_calibrate() -> None:  # Q10
    model, inputs, batch = model_and_batch("resnet18")
    quantized = build(model, inputs, batch, U8S8)
    images = torch.randn(20, 3, 64, 64)
    calibrate(quantized, [{"pixel_values": part} for part in images.split(8)])
    assert all(q.ready for _, q in quantized.quantizers())


def test_ranges_frozen_stop_learning_and_weights_go_on() -> None:
    model, inputs, batch = model_and_batch("resnet18")
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    assert quantized.scale_parameters()
    quantized.freeze_ranges()
    assert quantized.scale_parameters() == []
    quantized(**batch).sum().backward()
    assert all(p.grad is not None for p in quantized.other_parameters())


def test_save_and_load_give_the_same_numbers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, inputs, batch = model_and_batch("bert")
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    save_state(quantized, tmp_path, "calibrated")
    again = build(model, inputs, batch, U8S8)
    load_state(again, tmp_path, "calibrated")
    with torch.no_grad():
        assert torch.equal(again(**batch), quantized(**batch))


def test_loading_a_state_of_another_graph_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, inputs, batch = model_and_batch("bert")
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    save_state(quantized, tmp_path, "calibrated")
    other, other_inputs, other_batch = model_and_batch("distilbert")
    with pytest.raises(FolderError, match="does not fit"):
        load_state(build(other, other_inputs, other_batch, U8S8), tmp_path, "calibrated")
    with pytest.raises(FolderError, match="trained.safetensors is missing"):
        load_state(build(model, inputs, batch, U8S8), tmp_path, "trained")


def test_export_mode_clips_weights_and_changes_no_answer() -> None:
    model, inputs, batch = model_and_batch("resnet18")
    quantized = build(model, inputs, batch, U8S8)
    calibrate(quantized, [batch])
    with torch.no_grad():
        for _, q in quantized.quantizers():
            if q.grid.per_channel:
                q.scale.mul_(0.5)  # as training may: the largest weights now lie outside the range
        before = quantized(**batch)
        quantized.set_mode("export")
        quantized.set_mode("train")
        assert torch.equal(quantized(**batch), before)
        for q, weight in quantized._weights():
            assert isinstance(q, Quantizer)
            if q.grid.per_channel:
                codes = weight / q.scale.reshape([-1] + [1] * (weight.dim() - 1))
                assert codes.abs().max() <= 127.01


class Residual(nn.Module):
    """relu(conv(x)) as the skip of conv(conv(.)): the sum a TensorRT kernel fuses with its second convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.stem(pixel_values))
        return torch.relu(self.second(torch.relu(self.first(skip))) + skip).mean((2, 3))


def test_quantizers_on_inputs_only_are_shared_and_leave_the_fused_branch_alone() -> None:
    inputs = (TensorSpec("pixel_values", "float32", ("batch", 3, 8, 8)),)
    batch = {"pixel_values": torch.randn(2, 3, 8, 8)}
    quantized = build(Residual(), inputs, batch, S8S8_SYMMETRIC)
    calibrate(quantized, [batch])
    activations = {name: q for name, q in quantized.quantizers() if not q.grid.per_channel}
    # the picture, what the first convolution reads (which is the skip as well), and what the second one reads
    assert len(activations) == 3
    assert all(q.zero_point.item() == 0 for q in activations.values())
    nodes = {node.name: node for node in quantized.graph.graph.nodes}
    skip, main = nodes["add"].args[1], nodes["add"].args[0]
    assert name_of(main) == "conv2d"
    assert skip.op == "call_module" and skip is nodes["conv2d_1"].args[0]
    assert not any(isinstance(m, BiasQuantizer) for m in quantized.graph.modules())


def test_16_bit_activations_have_257_times_finer_steps() -> None:
    model, inputs, batch = model_and_batch("mobilenetv3_small_050")
    first = {}
    for scheme in (U8S8, U16S8):
        quantized = build(model, inputs, batch, scheme)
        calibrate(quantized, [batch])
        found = dict(quantized.quantizers())
        first[scheme.name] = found["pixel_values_fq"].scale.item()
        # The gate of squeeze-and-excite, a clip to 0..1, and hard-swish itself, which QNN has and the CPU has not.
        gate = found["clamp_default_fq"]
        assert gate.zero_point.item() == 0
        assert gate.scale.item() <= 1 / (scheme.activation.levels - 1) * (1 + 1e-6)
        assert ("hardswish__fq" in found) is (scheme is U16S8)
    assert first["u8s8"] / first["u16s8"] == pytest.approx(65535 / 255, rel=1e-5)


def test_linear_weights_per_tensor_have_one_scale_and_an_exact_zero() -> None:
    model, inputs, batch = model_and_batch("bert")
    quantized = build(model, inputs, batch, U8U8)
    calibrate(quantized, [batch], "percentile")
    weights = [(q, w) for q, w in quantized._weights() if q.grid == U8U8.linear_weight and q.whole_range]
    assert len(weights) == 14
    for q, weight in weights:
        low, high = min(0.0, weight.min().item()), max(0.0, weight.max().item())
        assert q.scale.item() == pytest.approx((high - low) / 255, rel=1e-5)  # whole range, whatever the method
        assert q.zero_point.item() == round(-low / q.scale.item())
