"""The graph engine: a module goes in, a graph comes out that computes what the target's integer kernels will.

build -> calibrate -> (train, clamp after each step) -> save
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from edgeft.errors import ModelError
from edgeft.quant.attention import WHY_FLOAT, fuse_attention
from edgeft.quant.bake import bake_constants
from edgeft.quant.capture import capture, prepare
from edgeft.quant.data import DataQuantizer
from edgeft.quant.fold import fold_affine, fold_batch_norm
from edgeft.quant.insert import Inserter
from edgeft.quant.nodes import attribute
from edgeft.quant.observe import METHODS
from edgeft.quant.quantizer import MODES, BiasQuantizer, Quantizer, SameGrid
from edgeft.quant.rewrite import PLAIN, rewrite
from edgeft.quant.uniform import drop_idle_masks
from edgeft.scheme import Scheme
from edgeft.tasks.task import TensorSpec


class QuantModel(nn.Module):
    """A captured graph with its quantizers.

    forward takes the tensors by input name and returns the logits, float32 [batch, labels].
    scheme       None for a plain float graph
    float_nodes  operators that stay float by the rules, with the reason
    completed    tensors that got a quantizer only because a product needed one
    kept         layers that compute in float by choice, with the reason (edgeft.quant.keep)
    raised       layers with 16-bit activations by choice, with the reason (edgeft.quant.raising)
    crowded      after calibration: quantizers whose range outliers set, and how few codes are left for the other values
    """

    def __init__(self, graph: fx.GraphModule, inputs: Sequence[TensorSpec], scheme: Scheme | None) -> None:
        super().__init__()
        self.graph = graph
        self.inputs = tuple(inputs)
        self.scheme = scheme
        self.float_nodes: list[tuple[str, str]] = []
        self.completed: list[str] = []
        self.kept: dict[str, str] = {}
        self.raised: dict[str, str] = {}
        self.crowded: dict[str, int] = {}

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.inputs)

    def forward(self, **tensors: Tensor) -> Tensor:
        logits: Tensor = self.graph(**{name: tensors[name] for name in self.input_names})
        return logits

    def train(self, mode: bool = True) -> QuantModel:
        """The graph was captured in eval mode and knows no other; only the flag is set, for a Trainer's sake."""
        self.training = mode
        return self

    def quantizers(self) -> Iterator[tuple[str, Quantizer]]:
        return ((name, m) for name, m in self.graph.named_modules() if isinstance(m, Quantizer))

    def set_mode(self, mode: str) -> None:
        """float: plain graph · calibrate: watch and quantize · train: fake-quantize · export: trace for ONNX."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {MODES}")
        if mode == "export":
            self._clip_weights()
        for module in self.graph.modules():
            if isinstance(module, (Quantizer, SameGrid, BiasQuantizer, DataQuantizer)):
                module.mode = mode

    def leave_kernel_rounding(self) -> None:
        """Compute as the exported file is written: without the rounding that happens inside the runtime's kernels."""
        for module in self.graph.modules():
            if isinstance(module, DataQuantizer) and module.in_kernel:
                module.mode = "float"

    def clamp(self) -> None:
        """Keep every trained scale within its bounds and every bias within int32; after each optimizer step."""
        for _, quantizer in self.quantizers():
            if quantizer.scale.requires_grad:
                quantizer.clamp()
        self._fit_biases()

    def freeze_ranges(self) -> None:
        """Stop training scales; what is learned from here on are the weights alone."""
        for _, quantizer in self.quantizers():
            quantizer.scale.requires_grad_(False)
            quantizer.scale.grad = None

    def scale_parameters(self) -> list[nn.Parameter]:
        return [q.scale for _, q in self.quantizers() if q.scale.requires_grad]

    def other_parameters(self) -> list[nn.Parameter]:
        scales = {id(q.scale) for _, q in self.quantizers()}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in scales]

    def _weights(self) -> Iterator[tuple[Quantizer, Tensor]]:
        """Quantizers that read a stored tensor directly, with that tensor."""
        for node in self.graph.graph.nodes:
            stored = attribute(self.graph, node.args[0]) if node.op == "call_module" else None
            module = self.graph.get_submodule(node.target) if stored is not None else None
            if isinstance(module, Quantizer) and stored is not None:
                yield module, stored

    def _biases(self) -> Iterator[tuple[BiasQuantizer, Tensor]]:
        for node in self.graph.graph.nodes:
            if node.op == "call_module":
                module = self.graph.get_submodule(node.target)
                if isinstance(module, BiasQuantizer):
                    yield module, self.graph.get_parameter(node.args[0].target)

    def _fit_biases(self) -> None:
        for quantizer, bias in self._biases():
            quantizer.fit(bias)

    @torch.no_grad()
    def _clip_weights(self) -> None:
        """Clip weights to their grid's range. Fake-quantization gives the same values before and after; a device's
        QuantizeLinear knows only the bounds of the storage type, not narrower ones."""
        for quantizer, weight in self._weights():
            if quantizer.grid.symmetric and quantizer.ready:
                scale = quantizer.spread(weight)
                low, high = scale * quantizer.grid.qmin, scale * quantizer.grid.qmax
                weight.copy_(torch.minimum(torch.maximum(weight, low), high))


def float_graph(model: nn.Module, inputs: Sequence[TensorSpec], example: Mapping[str, Tensor]) -> QuantModel:
    """The captured graph with constants computed, BatchNorm and scales folded, and nothing quantized."""
    graph = capture(prepare(model), inputs, example)
    bake_constants(graph)
    drop_idle_masks(graph)
    left = fold_batch_norm(graph)
    fold_affine(graph)
    rewrite(graph, PLAIN)
    built = QuantModel(graph, inputs, None)
    built.float_nodes = [(name, "a BatchNorm that follows no convolution of its own") for name in left]
    return built


def build(model: nn.Module, inputs: Sequence[TensorSpec], example: Mapping[str, Tensor], scheme: Scheme) -> QuantModel:
    """Capture `model`, fold its BatchNorm, and put the quantizers of `scheme` on its graph.

    model    a transformers model (called by input names, `.logits` taken) or a module that returns logits;
             its requires_grad flags are kept, itself it is left alone
    inputs   what the device feeds; dimensions given by name are free
    example  one tensor an input; free dimensions at least 2
    Raises ModelError when the model cannot be captured.
    """
    built = float_graph(model, inputs, example)
    built.scheme = scheme
    rewrite(built.graph, scheme.rewrites)
    attention = fuse_attention(built.graph) if scheme.float_answers else []
    inserter = Inserter(built.graph, scheme)
    inserter.run()
    built.float_nodes += inserter.kept_float + [(name, WHY_FLOAT) for name in attention]
    built.completed = inserter.completed
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return built.to(device)


@torch.no_grad()
def calibrate(
    model: QuantModel, batches: Iterable[Mapping[str, Tensor]], method: str = "minmax", apart: bool = False
) -> None:
    """Set every range from `batches`, then switch to train mode.

    method   minmax, percentile or mse (edgeft.quant.observe)
    apart    each range is set on what the float model computes, so that one bad layer does not spoil those behind it;
             else on what the quantized layers before it compute, as the device does
    Raises ModelError when a quantizer saw no data, or saw values that are not finite, by name.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {sorted(METHODS)}")
    for _, quantizer in model.quantizers():
        quantizer.method = method
        quantizer.observer = None
    model.set_mode("watch" if apart else "calibrate")
    for batch in batches:
        model(**batch)
    for _, quantizer in model.quantizers():
        quantizer.settle()
    blind = [name for name, q in model.quantizers() if not q.ready]
    if blind:
        raise ModelError(f"no data reached {len(blind)} quantizers in calibration: {', '.join(blind[:5])}")
    broken = [name for name, q in model.quantizers() if q.observer is not None and q.observer.not_finite]
    if broken:
        raise ModelError(
            f"values that are not finite reached {len(broken)} quantizers in calibration: {', '.join(broken[:5])}",
            "check the float model's own outputs first",
        )
    model.crowded = {name: codes for name, q in model.quantizers() if (codes := q.crowded()) is not None}
    for _, quantizer in model.quantizers():
        quantizer.observer = None
    model._fit_biases()
    model.set_mode("train")
