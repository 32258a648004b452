"""How long one training step takes: float, and fake-quantized by edgeft and by its peers.

    python -m benchmarks.qat_step [--batch 16] [--size 160] [--rounds 5] [--device cuda] [--json FILE]

The model is EfficientNet-Lite0 with random weights. Every system takes one step in turn, round after round, so that
a busy machine slows all of them alike; the figure is the median of the rounds, the baseline the captured float graph
with BatchNorm folded. A peer that is not installed, or cannot take the model, is left out with a line.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.table import Row, arguments, show
from edgeft.quant.engine import build, calibrate, float_graph
from edgeft.scheme import U8S8
from edgeft.tasks.task import TensorSpec

Step = Callable[[], None]
BASELINE = "graph, BatchNorm folded"


class Named(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values)


def step_of(model: nn.Module, call: Callable[[], Tensor], after: Callable[[], None] = lambda: None) -> Step:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-6)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        call().square().mean().backward()
        optimizer.step()
        after()

    return step


def torchao_step(model: nn.Module, x: Tensor) -> Step:
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    graph = torch.export.export(model, (x,)).module()
    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config(is_qat=True))
    prepared = prepare_qat_pt2e(graph, quantizer)
    return step_of(prepared, lambda: prepared(x))


def nncf_step(model: nn.Module, x: Tensor) -> Step:
    import nncf

    quantized = nncf.quantize(model, nncf.Dataset([x]), subset_size=1)
    return step_of(quantized, lambda: quantized(x))


def systems(x: Tensor, size: int) -> dict[str, Step]:
    import timm

    torch.manual_seed(0)
    model = Named(timm.create_model("tf_efficientnet_lite0", num_classes=10)).eval().to(x.device)
    inputs = (TensorSpec("pixel_values", "float32", ("batch", 3, size, size)),)
    example = {"pixel_values": x}
    eager = copy.deepcopy(model).train()
    graph = float_graph(model, inputs, example)
    frozen, learned = (build(model, inputs, example, U8S8) for _ in range(2))
    for quantized in (frozen, learned):
        calibrate(quantized, [example])
    frozen.freeze_ranges()
    found = {
        "eager float": step_of(eager, lambda: eager(x)),
        BASELINE: step_of(graph, lambda: graph(**example)),
        "edgeft, ranges frozen": step_of(frozen, lambda: frozen(**example), frozen.clamp),
        "edgeft, ranges learned": step_of(learned, lambda: learned(**example), learned.clamp),
    }
    for name, make in {"torchao prepare_qat_pt2e": torchao_step, "nncf.quantize": nncf_step}.items():
        try:
            found[name] = make(copy.deepcopy(model).train(), x)
        except Exception as error:  # a peer's failure is a result, not ours to raise
            print(f"{name} is left out: {type(error).__name__}: {str(error).splitlines()[0][:80]}")
    return found


def measure(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Median seconds a step; the first two rounds warm up and are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if torch.cuda.is_available():  # a GPU is told what to do and does it later
                torch.cuda.synchronize()
            if number > 1:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    medians = measure(systems(x, options.size), options.rounds)
    rows = [
        Row(name, f"Lite0 {options.batch}x{options.size}px", "training step", value, "s", value / medians[BASELINE])
        for name, value in medians.items()
    ]
    show("qat_step", rows, options.json)


if __name__ == "__main__":
    main()
