from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from edgeft.data.dataset import Example
from edgeft.errors import ModelError
from edgeft.tasks import TASKS
from edgeft.tasks.task import TensorSpec
from edgeft.tuning.batches import Collate
from edgeft.tuning.losses import cross_entropy
from edgeft.tuning.score import Judge
from edgeft.tuning.trainer import PhaseTrainer, Recipe, train_phase
from edgeft.tuning.watch import read_metrics

CPU = torch.device("cpu")


class Numbers:
    """Encodes the text "3.5" as the number 3.5 and remembers the order it was asked in."""

    inputs = (TensorSpec("x", "float32", ("batch", 1)),)

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, contents: Any) -> dict[str, Any]:
        self.seen += contents
        return {"x": np.array([[float(text)] for text in contents], dtype=np.float32)}


class Line(nn.Module):
    """Logits (-wx, wx): right about every number when w is positive."""

    def __init__(self, w: float = 0.1) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-self.w * x, self.w * x], dim=1)


def examples(n: int = 16) -> tuple[Example, ...]:
    values = [(-1) ** index * (1 + index / 10) for index in range(n)]
    return tuple(Example(str(index), f"{value:.1f}", int(value > 0)) for index, value in enumerate(values))


def judge(encoder: Any | None = None) -> Judge:
    splits = {"validation": examples(8), "test": examples(8)}
    return Judge(TASKS.load("text-classification"), encoder or Numbers(), splits, ("minus", "plus"), 4)


def train(folder: Path, model: nn.Module, recipe: Recipe, encoder: Any | None = None, **rest: Any) -> Any:
    collate = Collate(encoder or Numbers(), seed=0)
    loss = rest.pop("loss", cross_entropy())
    rest = {"folder": folder, "seed": 0, "device": CPU, **rest}
    return train_phase("float", model, recipe, loss, judge(), examples(), collate, **rest)


def test_the_best_epoch_is_restored_and_recorded(tmp_path: Path) -> None:  # T10
    def first_helps_then_ruins(logits: torch.Tensor, labels: torch.Tensor, inputs: Any) -> torch.Tensor:
        steps.append(1)
        direction = 1 if len(steps) <= 4 else -1  # four steps an epoch
        return -direction * (logits[:, 1] * (2 * labels - 1)).mean()  # -w mean|x|: a slope of 1 after clipping

    steps: list[int] = []
    model = Line(-0.1)
    recipe = Recipe(epochs=3, batch_size=4, lr=0.2, schedule="constant", warmup=0, weight_decay=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    trained = train(tmp_path, model, recipe, loss=first_helps_then_ruins, optimizer=optimizer)
    scores = [line["metrics"]["accuracy"] for line in read_metrics(tmp_path / "metrics.jsonl") if "metrics" in line]
    assert scores[0] == 1.0 and scores[-1] == 0.0
    assert (trained.best_value, trained.best_epoch, trained.steps) == (1.0, 1.0, 12)
    assert model.w.item() == pytest.approx(0.7)  # -0.1 and four steps of 0.2
    assert judge().scores(model, "validation").value == 1.0


def test_a_resumed_run_plays_the_same_batches_and_ends_the_same(tmp_path: Path, monkeypatch: Any) -> None:  # T09
    recipe = Recipe(epochs=3, batch_size=4, lr=0.01)
    unbroken, model = Numbers(), Line()
    train(tmp_path / "unbroken", model, recipe, unbroken)

    class Killed(BaseException):
        pass

    def kill_at(step: int) -> type:
        class Kill(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == step:
                    raise Killed

        return Kill

    broken, resumed = Numbers(), Numbers()
    with pytest.raises(Killed):
        train(tmp_path / "broken", Line(), recipe, broken, callbacks=[kill_at(6)()])
    again = Line(0.7)  # its weights come from the checkpoint
    train(tmp_path / "broken", again, recipe, resumed)
    assert resumed.seen == unbroken.seen[16:]  # after the first epoch's checkpoint
    assert unbroken.seen[:16] != unbroken.seen[16:32] != unbroken.seen[32:]
    assert again.w.item() == model.w.item()
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("unbroken", "broken")]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]


def test_a_kill_after_the_last_step_trains_no_further(tmp_path: Path, monkeypatch: Any) -> None:  # T09
    recipe = Recipe(epochs=0.5, batch_size=4, lr=0.01)
    model = Line()
    first = train(tmp_path, model, recipe)
    again, untouched = Line(0.7), Numbers()
    second = train(tmp_path, again, recipe, untouched)
    assert first == second
    assert untouched.seen == []
    assert again.w.item() == model.w.item()


def test_a_broken_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=4, lr=0.01)
    model = Line()
    train(tmp_path, model, recipe)
    newest = tmp_path / "checkpoints" / "float" / "checkpoint-8"
    (newest / "optimizer.pt").write_bytes(b"")
    resumed, again = Numbers(), Line(0.7)
    train(tmp_path, again, recipe, resumed)
    assert len(resumed.seen) == 16  # the second epoch, from the first one's checkpoint
    assert again.w.item() == model.w.item()


def test_early_stopping_counts_evaluations_without_a_better_score(tmp_path: Path) -> None:
    recipe = Recipe(epochs=20, batch_size=4, lr=1e-4, patience=2)
    trained = train(tmp_path, Line(1.0), recipe)  # right from the start: no epoch is better than the first
    assert trained.steps == 4 * 3
    assert trained.best_epoch == 1.0


def test_nan_ends_training_at_once_with_advice(tmp_path: Path) -> None:  # T06
    wanted = r"loss became nan at step 1; .* come from the weights w; try a lower --lr, or --precision fp32"
    with pytest.raises(ModelError, match=wanted):
        train(tmp_path, Line(float("nan")), Recipe(epochs=1, batch_size=4, lr=0.1))


def test_bf16_arithmetic_leaves_fp32_weights(tmp_path: Path) -> None:  # T06
    dtypes = []

    def loss(logits: torch.Tensor, labels: torch.Tensor, inputs: Any) -> torch.Tensor:
        dtypes.append(logits.dtype)
        return torch.nn.functional.cross_entropy(logits, labels)

    model = nn.Linear(1, 2)
    model.forward = lambda x: nn.functional.linear(x, model.weight, model.bias)  # type: ignore[method-assign]
    train(tmp_path, model, Recipe(epochs=1, batch_size=4, lr=0.1, precision="bf16"), loss=loss)
    assert model.weight.dtype == torch.float32
    assert set(dtypes) == {torch.float32}


def test_metrics_have_a_line_a_logged_step(tmp_path: Path) -> None:
    train(tmp_path, Line(), Recipe(epochs=3, batch_size=4, lr=0.01))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line for line in lines if "loss" in line]
    assert [line["step"] for line in losses] == [1, 10]
    assert all(line["phase"] == "float" and line["samples_per_s"] > 0 and "lr" in line for line in losses)
    assert [line["epoch"] for line in lines if "metrics" in line] == [1.0, 2.0, 3.0]


def test_nothing_but_lines_is_written_when_stdout_is_no_terminal(tmp_path: Path, capfd: Any) -> None:  # C01
    train(tmp_path, Line(), Recipe(epochs=2, batch_size=4, lr=0.01))
    seen = capfd.readouterr()
    assert "\r" not in seen.out + seen.err
    assert [line.split(",")[0] for line in seen.out.splitlines()] == ["float: epoch 1", "float: epoch 2"]


def test_steps_of_whole_and_part_epochs() -> None:
    def steps(epochs: float, n: int) -> int:
        return Recipe(epochs, batch_size=32, lr=1).steps(n)

    assert [steps(1, 100), steps(2, 96), steps(0.5, 100), steps(0.01, 100)] == [4, 6, 2, 1]


def test_ctrl_c_goes_through_and_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:  # C03
    class Interrupt(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    recipe = Recipe(epochs=2, batch_size=4, lr=0.01)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Line(), recipe, callbacks=[Interrupt()])
    resumed = Numbers()
    assert train(tmp_path, Line(), recipe, resumed).steps == 8
    assert len(resumed.seen) == 16


def test_scores_keep_answers_not_logits(monkeypatch: Any) -> None:  # T11
    class Wide(nn.Module):
        """Returns hidden states as well; they must be gone after each batch."""

        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))
            self.alive: list[Any] = []

        def forward(self, x: torch.Tensor) -> Any:
            import weakref

            hidden = torch.zeros(len(x), 1000)
            assert sum(reference() is not None for reference in self.alive) <= 1
            self.alive.append(weakref.ref(hidden))
            logits = torch.cat([-x, x], dim=1)
            return transformers.modeling_outputs.SequenceClassifierOutput(logits=logits, hidden_states=(hidden,))

    assert judge().scores(Wide(), "validation").value == 1.0


def test_the_model_is_left_in_the_mode_it_was_in() -> None:
    model = Line()
    model.train()
    judge().scores(model, "validation")
    assert model.training


def test_trainer_s_own_bars_and_printer_are_off(tmp_path: Path) -> None:
    names = {type(callback).__name__ for callback in _trainer(tmp_path).callback_handler.callbacks}
    assert not names & {"PrinterCallback", "ProgressCallback"}


def _trainer(folder: Path) -> PhaseTrainer:
    from edgeft.tuning.batches import Order, Samples
    from edgeft.tuning.trainer import _arguments

    arguments = _arguments(Recipe(1, 4, 0.1), 4, "accuracy", folder, 0, CPU)
    return PhaseTrainer(
        model=Line(), args=arguments, loss=cross_entropy(), judge=judge(), order=Order(16, 0, 4),
        train_dataset=Samples(examples()), eval_dataset=Samples(examples()),
    )  # fmt: skip
