"""What the two heads read, and their distance."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeft.errors import ModelError
from edgeft.quant.engine import build, calibrate
from edgeft.quant.keep import keep_float
from edgeft.scheme import U8S8
from edgeft.tuning.features import Features
from edgeft.tuning.losses import distillation
from tests.quant.nets import TEXT, Words, words


def pair():  # type: ignore[no-untyped-def]
    teacher, batch = Words().eval(), words()
    student = build(teacher, TEXT, batch, U8S8)
    calibrate(student, [batch])
    return teacher, student, batch


def test_the_distance_is_that_of_what_the_heads_read() -> None:
    teacher, student, batch = pair()
    features = Features(teacher, student, 0.5)
    with torch.no_grad():
        wanted = teacher.narrow(nn.functional.gelu(teacher.wide(teacher.table(batch["input_ids"])))).mean(1)
        teacher(**batch)
    student(**batch)
    by_hand = (student_features(student, batch) - wanted).square().mean() / wanted.square().mean()
    student(**batch)
    assert features.distance().item() == pytest.approx(by_hand.item(), rel=1e-5)


def student_features(student, batch):  # type: ignore[no-untyped-def]
    seen: list[torch.Tensor] = []
    hook = student.graph.get_submodule("mean_fq").register_forward_hook(lambda *given: seen.append(given[-1]))
    with torch.no_grad():
        student(**batch)
    hook.remove()
    return seen[0]


def test_the_loss_has_their_share_and_trains_what_lies_before() -> None:
    teacher, student, batch = pair()
    labels = torch.zeros(16, dtype=torch.long)
    plain = distillation(teacher)(student(**batch), labels, batch)
    features = Features(teacher, student, 2.0)
    loss = distillation(teacher, features=features)(student(**batch), labels, batch)
    student(**batch)
    teacher(**batch)
    assert loss.item() == pytest.approx(plain.item() + 2.0 * features.distance().item(), rel=1e-5)
    loss.backward()
    assert student.graph.get_parameter("model.narrow.weight").grad is not None


def test_a_head_that_reads_floats_is_refused() -> None:
    teacher, batch = Words().eval(), words()
    student = build(teacher, TEXT, batch, U8S8)
    keep_float(student, {"linear_2": "because", "mean": "because"})
    assert student.graph.graph.find_nodes(op="call_module", target="mean_fq") == []
    with pytest.raises(ModelError, match="--feature-loss needs a model whose last layer is a quantized linear one"):
        Features(teacher, student, 1.0)
