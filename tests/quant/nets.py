"""Nets small enough to name every node of, for tests of layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgeft.quant.engine import QuantModel, build, calibrate
from edgeft.scheme import U8S8, Scheme
from edgeft.tasks.task import TensorSpec

IMAGE = (TensorSpec("pixel_values", "float32", ("batch", 3, 8, 8)),)
TEXT = (TensorSpec("input_ids", "int64", ("batch", "sequence")),)


class Convolutions(nn.Module):
    """conv, relu, conv; the skip is added, then a pooled linear layer: conv2d, conv2d_1, add, mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, pixel_values: Tensor) -> Tensor:
        skip = torch.relu(self.stem(pixel_values))
        return self.head((self.block(skip) + skip).mean((2, 3)))


class Words(nn.Module):
    """Rows of a table, a linear layer, GELU, another: embedding, linear, gelu, linear_1, mean, linear_2."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide, self.narrow = nn.Embedding(20, 8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.wide(self.table(input_ids)))
        return self.head(self.narrow(hidden).mean(1))


MASKED = (*TEXT, TensorSpec("attention_mask", "int64", ("batch", "sequence")))


class Masked(nn.Module):
    """One head of attention whose mask is -inf, put on the scores in one of the ways models do it."""

    FORMS = ("add", "masked_fill", "where", "additive buffer")

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.table, self.query, self.key = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)
        self.register_buffer("causal", torch.full((64, 64), -math.inf).triu(1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.table(input_ids)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 8**0.5
        return self.head((self._put(scores, attention_mask[:, None, :] == 0).softmax(-1) @ x).mean(1))

    def _put(self, scores: Tensor, hidden: Tensor) -> Tensor:
        if self.form == "add":
            return scores + torch.zeros_like(hidden, dtype=torch.float32).masked_fill(hidden, -math.inf)
        if self.form == "masked_fill":
            return scores.masked_fill(hidden, -math.inf)
        if self.form == "where":
            return torch.where(hidden, torch.tensor(-math.inf), scores)
        assert isinstance(self.causal, Tensor)
        return scores + self.causal[: scores.shape[-1], : scores.shape[-1]]


def masked(n: int = 16) -> dict[str, Tensor]:
    mask = (torch.arange(6)[None] < torch.randint(2, 7, (n, 1))).long()
    return {"input_ids": torch.randint(0, 20, (n, 6)), "attention_mask": mask}


def images(n: int = 16) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(n, 3, 8, 8)}


def words(n: int = 16) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 20, (n, 6))}


def convolutions(scheme: Scheme = U8S8) -> tuple[QuantModel, dict[str, Tensor]]:
    batch = images()
    return calibrated(build(Convolutions(), IMAGE, batch, scheme), batch), batch


def text(scheme: Scheme = U8S8) -> tuple[QuantModel, dict[str, Tensor]]:
    batch = words()
    return calibrated(build(Words(), TEXT, batch, scheme), batch), batch


def calibrated(model: QuantModel, batch: dict[str, Tensor]) -> QuantModel:
    calibrate(model, [batch])
    return model


def names(model: QuantModel) -> set[str]:
    return {name for name, _ in model.quantizers()}
