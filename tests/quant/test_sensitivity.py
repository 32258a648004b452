"""What quantizing each layer costs, against models built the long way."""

import numpy as np
import pytest
import torch

from edgeft.evaluation.accuracy import closeness
from edgeft.quant import capture
from edgeft.quant.engine import QuantModel, build, calibrate, float_graph
from edgeft.quant.keep import keep_float
from edgeft.quant.sensitivity import Switchboard, divergence, measure
from edgeft.scheme import U8S8, U8U8
from tests.quant.nets import IMAGE, TEXT, Convolutions, Words, convolutions, images, text, words


def logits(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        return model(**batch).numpy()


def test_divergence_by_hand_and_as_eval_computes_it() -> None:
    one, other = (np.log(np.array([row], np.float32)) for row in ([0.2, 0.8], [0.5, 0.5]))
    by_hand = 0.2 * np.log(0.2 / 0.5) + 0.8 * np.log(0.8 / 0.5)
    assert divergence(one, other) == pytest.approx(by_hand, rel=1e-5)
    a, b = np.random.default_rng(0).normal(0, 3, (2, 40, 7)).astype(np.float32)
    assert divergence(a, b) == pytest.approx(closeness(a, b)["mean_kl"], rel=1e-6)
    assert divergence(a, np.full_like(a, np.nan)) == float("inf")


@pytest.mark.parametrize("kept", [["conv2d"], ["conv2d_1"], ["add", "conv2d_1"], ["linear", "mean"]])
def test_without_a_layer_is_the_model_in_which_it_stays_float(kept: list[str]) -> None:
    model, batch = convolutions()
    wanted = logits(model, batch)
    with Switchboard(model, [batch]) as board:
        found = board.without(kept)
    assert np.array_equal(logits(model, batch), wanted)  # every switch is back
    model.set_mode("float")
    plain = logits(model, batch)
    model.set_mode("train")
    keep_float(model, dict.fromkeys(kept, "because"))
    built = logits(model, batch)
    assert found.kl == divergence(plain, built) > 0
    assert found.agreement == (plain.argmax(1) == built.argmax(1)).mean()


def test_a_layer_alone_is_what_it_reads_holds_and_makes() -> None:
    net, batch = Convolutions(), images()
    model = build(net, IMAGE, batch, U8S8)
    calibrate(model, [batch])
    with Switchboard(model, [batch]) as board:
        found = board.alone("linear")
        assert board.n == 16
    plain = float_graph(net, IMAGE, batch)
    pooled: list[torch.Tensor] = []
    hook = net.head.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    with torch.no_grad():
        net(**batch)
        hook.remove()
        q = {name: module for name, module in model.graph.named_modules()}
        by_hand = torch.nn.functional.linear(
            q["mean_fq"](pooled[0]), q["linear_weight_fq"](net.head.weight), q["linear_bias_fq"](net.head.bias)
        )
    assert found.kl == pytest.approx(divergence(logits(plain, batch), by_hand.numpy()), rel=1e-4)


def spoiled() -> tuple[QuantModel, dict[str, torch.Tensor]]:
    """One weight of `wide` is huge, and its input is always zero: per tensor, nothing is left of the others."""
    net, batch = Words(), words()
    with torch.no_grad():
        net.table.weight[:, 0] = 0
        net.wide.weight[0, 0] = 2000.0
        for layer in (net.wide, net.narrow, net.head):
            layer.bias.zero_()
            layer.weight.mul_(1 if layer is net.wide else 3)
    model = build(net, TEXT, batch, U8U8)
    calibrate(model, [batch], apart=True)
    return model, batch


def test_the_layer_that_was_spoiled_is_the_worst_and_its_absence_the_cure() -> None:
    model, batch = spoiled()
    with Switchboard(model, [batch], score=lambda found: float((found.argmax(1) == 0).mean())) as board:
        found = measure(board)
    worst = found.layers[0]
    assert worst.layer.module == "wide"
    assert worst.alone.kl > 20 * found.layers[1].alone.kl
    left = {each.layer.module or each.layer.name: each.without.kl for each in found.layers}
    assert left["wide"] < 0.1 * found.whole.kl < left["narrow"]
    assert [each.alone.kl for each in found.layers] == sorted((each.alone.kl for each in found.layers), reverse=True)
    assert found.float_score is not None and worst.alone.score is not None


def test_nothing_is_captured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = text()
    monkeypatch.setattr(capture, "capture", lambda *_: pytest.fail("the model was captured again"))
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: pytest.fail("the model was captured again"))
    ticks: list[int] = []
    with Switchboard(model, [batch, words(3)]) as board:
        found = measure(board, lambda: ticks.append(1))
    assert found.n == 19 and len(ticks) == len(found.layers) == 6
    assert found.layers[0].alone.score is None


def test_the_switches_go_back_when_measuring_fails() -> None:
    model, batch = text()
    before = logits(model, batch)
    with pytest.raises(RuntimeError), Switchboard(model, [batch]) as board:
        board.without([])
        raise RuntimeError
    assert np.array_equal(logits(model, batch), before)
