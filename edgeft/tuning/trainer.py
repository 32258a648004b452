"""transformers' Trainer, fitted to edgeft: its loop, schedules and precision; our data, loss and scores."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerState, TrainingArguments

from edgeft import console, ranks
from edgeft.data.dataset import Example
from edgeft.errors import MachineError, ModelError
from edgeft.quant.feed import logits_of, text_lengths
from edgeft.tuning import processes
from edgeft.tuning.batches import Collate, Loader, Order, Samples, Shares, class_shares
from edgeft.tuning.batchnorm import synchronised, takes_turns
from edgeft.tuning.checkpoints import last_complete, mark_complete, saving
from edgeft.tuning.memory import answers_in, divided, is_out_of_memory, release
from edgeft.tuning.score import Judge
from edgeft.tuning.trouble import Course, gradient_not_finite, not_finite_in
from edgeft.tuning.watch import Patience, Watch, exhausted

# (logits, labels, inputs) -> loss
Loss = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
_LOG_EVERY_STEPS = 10
_ADVICE = "try a lower --lr, or --precision fp32; check the weights of the model if it is the first step"


@dataclass(frozen=True)
class Recipe:
    """How one phase trains.

    epochs         may be a fraction; `max_samples` cuts it shorter
    lr             peak learning rate
    schedule       name of a transformers schedule: cosine, linear
    warmup         share of the steps over which the rate rises
    layer_decay    factor of the rate from one block to the one below it, see edgeft.tuning.rates
    balanced       draw examples so that every class comes equally often, see edgeft.tuning.batches.Order
    precision      fp32, bf16 or fp16: of the arithmetic, never of the weights
    views          varied views of an example whose features are kept, see edgeft.tuning.frozen
    batch_size     examples of a step, in all processes together
    parts          in which each process computes its share of a step, one after the other, so that memory suffices
    """

    epochs: float
    batch_size: int
    lr: float
    schedule: str = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    precision: str = "fp32"
    patience: int = 0
    workers: int = 0
    report_to: str = "none"
    layer_decay: float = 1.0
    balanced: bool = False
    views: int = 4
    parts: int = 1

    def steps(self, n: int) -> int:
        """Optimizer steps over `n` training examples, at least one."""
        return max(1, math.ceil(self.epochs * math.ceil(n / self.batch_size)))


@dataclass(frozen=True)
class Trained:
    """What a phase came to: the best score on validation and the epoch it came from (0 = before training)."""

    best_value: float
    best_epoch: float
    steps: int


class PhaseTrainer(Trainer):
    """Trainer with a loss of logits, batches that are a pure function of (seed, epoch), and marked checkpoints."""

    loss_is_scaled_for_ga = False
    control: Any

    def __init__(
        self, *, loss: Loss, judge: Judge, order: Order, parts: int = 1, advice: str = _ADVICE, **rest: Any
    ) -> None:
        super().__init__(**rest)
        self._loss, self._judge, self._order, self._advice = loss, judge, order, advice
        self.parts = parts
        self._takes_turns = takes_turns(self.model)
        self._course = Course(self.model)
        self.remove_callback(transformers.PrinterCallback)
        # Not wrapped in DistributedDataParallel: it sends gradients while backward still runs, and a process that runs
        # out of memory there could not take its step back. edgeft.tuning.processes averages them after it.
        self.accelerator.prepare_model = functools.partial(self.accelerator.prepare_model, evaluation_mode=True)

    def get_train_dataloader(self) -> Loader:
        shares = Shares(self._order, ranks.number(), ranks.world())
        return Loader(
            self.train_dataset, shares, self.data_collator, self.args.dataloader_num_workers,
            self.args.dataloader_pin_memory,
        )  # fmt: skip

    def _prepare_input(self, data: Any) -> Any:
        if not isinstance(data, Tensor):
            return super()._prepare_input(data)
        return data.to(self.args.device, non_blocking=True)  # out of pinned memory, while the GPU still computes

    def _mean_loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        tensors = dict(inputs)
        labels = tensors.pop("labels")
        logits = logits_of(model(**tensors)).float()
        if answers_in(labels) == 0:  # sentences of other processes' words alone: no answer, and no gradient
            return logits.sum() * 0
        loss = self._loss(logits, labels, tensors)
        self._notice_trouble(loss.item(), logits.shape[-1], tensors)
        return loss

    def _notice_trouble(self, loss: float, labels: int, tensors: Mapping[str, Tensor]) -> None:
        """Raises ModelError, with the layer, when the loss is no number or has left for good."""
        step = self.state.global_step + 1
        if not math.isfinite(loss):
            place = not_finite_in(self.model, tensors)
            begun = f"; the first numbers that are not finite come from {place}" if place else ""
            raise ModelError(f"the loss became {loss} at step {step}{begun}", self._advice)
        if self._course.diverged(loss, labels):
            name, factor = self._course.most_changed(self.model)
            raise ModelError(
                f"training diverged: at step {step} the loss is {loss:.4g}, more than twice that of the first steps "
                f"and of answers at random; {name} changed most, to {factor:.3g} times its size",
                self._advice,
            )

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        model.train()
        inputs = self._prepare_inputs(inputs)
        loss = None
        while loss is None:
            loss = self._step_in_parts(model, inputs)
        if ranks.world() > 1:
            processes.average_gradients(list(model.parameters()), answers_in(inputs["labels"]))
        # fp16 gradients overflow now and then: its scaler skips such a step.
        place = "" if self.args.fp16 else gradient_not_finite(model)
        if place:
            raise ModelError(
                f"a gradient is not finite at step {self.state.global_step + 1}, first that of {place}", self._advice
            )
        return loss

    def _step_in_parts(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Leave the gradients of a batch, of the sum over its answers where several processes share the step, else of
        their mean; returns the mean loss. None, and no gradients, when memory did not suffice: then parts are smaller.
        """
        answers = answers_in(inputs["labels"])
        total = torch.zeros((), device=self.args.device)
        try:
            # Where processes wait for each other within a forward pass, all have to take as many.
            for part in divided(inputs, 1 if self._takes_turns else self.parts):
                with self.compute_loss_context_manager():
                    loss = self._mean_loss(model, part)
                share = answers_in(part["labels"]) / max(answers, 1)
                self.accelerator.backward(loss * (share * answers if ranks.world() > 1 else share))
                total += loss.detach() * share
            return total
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._halve(len(inputs["labels"]))
        # Outside of the handler: the error held everything that the step had computed.
        loss = None
        model.zero_grad()
        release()
        return None

    def _halve(self, examples: int) -> None:
        """Take twice as many parts a step. Raises MachineError when a part is one example already."""
        here = f" on process {ranks.number()}" if ranks.world() > 1 else ""
        if self._takes_turns:
            raise MachineError(
                f"there is not enough memory{here} for its share of a step, which a BatchNorm that learns its "
                "statistics cannot take in parts",
                "choose a smaller --batch-size",
            )
        if self.parts >= examples:
            raise MachineError(
                f"there is not enough memory{here} for a training step of one example",
                "choose a smaller --max-length or --image-size, or --freeze less of the model's blocks to learn",
            )
        self.parts *= 2
        console.warn(
            f"memory did not suffice{here}: a step now takes {self.parts} parts of at most "
            f"{math.ceil(examples / self.parts)} examples one after the other; its batch stays as it was",
            anywhere=True,
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        scores = self._judge.scores(self.model, "validation")
        metrics = {f"eval_{scores.metric}": float(scores.value)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        if isinstance(self.model, PreTrainedModel) or output_dir is None:
            super()._save(output_dir, state_dict)
            return
        os.makedirs(output_dir, exist_ok=True)
        # save_model, since a graph uses one quantizer in several places and safetensors wants each tensor once
        safetensors.torch.save_model(self.model, os.path.join(output_dir, "model.safetensors"))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with saving(folder):
            super()._save_checkpoint(model, trial)
            processes.wait()  # every process has written its random state
            if ranks.first():
                mark_complete(folder)


def train_phase(
    phase: str,
    model: nn.Module,
    recipe: Recipe,
    loss: Loss,
    judge: Judge,
    examples: Sequence[Example],
    collate: Collate,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
    optimizer: torch.optim.Optimizer | None = None,
    callbacks: Sequence[transformers.TrainerCallback] = (),
    advice: str = _ADVICE,
) -> Trained:
    """Train `model` in place and leave it with the weights of its best epoch on validation.

    phase       name in metrics.jsonl, on the bar, and of the folder below `folder`/checkpoints
    folder      the run; an unfinished phase there is gone on with from its last complete checkpoint
    advice      what to type when training fails
    Raises ModelError that names the layer when the loss or a gradient is not finite, or the loss diverges.
    """
    steps = recipe.steps(len(examples))
    shares = class_shares(examples) if recipe.balanced else None
    order = Order(len(examples), seed, recipe.batch_size, text_lengths(examples), shares)
    checkpoints = folder / "checkpoints" / phase
    arguments = _arguments(recipe, steps, judge.metric, checkpoints, seed, device)
    watch = Watch(phase, folder / "metrics.jsonl", steps * recipe.batch_size, recipe.batch_size)
    stop = [Patience(judge.metric, recipe.patience)] if recipe.patience else []
    trainer = PhaseTrainer(
        model=model, args=arguments, loss=loss, judge=judge, order=order, train_dataset=Samples(examples),
        eval_dataset=Samples(examples), data_collator=collate, callbacks=[watch, *stop, *callbacks],
        optimizers=(optimizer, None), advice=advice, parts=recipe.parts,
    )  # fmt: skip
    start = processes.once(lambda: last_complete(checkpoints) if checkpoints.is_dir() else None)
    processes.same_as_first(model)
    if start is not None:
        console.say(f"{phase}: going on from {start.name}")
    try:
        if start is None or not _at_the_end(trainer, start, steps, recipe.patience):
            with synchronised(model):
                trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        watch.close()
    # Trainer wraps forward in autocast for bf16 and fp16: what is scored, captured and saved from here on is fp32.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return _outcome(trainer)


def _at_the_end(trainer: PhaseTrainer, start: Path, steps: int, patience: int) -> bool:
    """Was nothing left to train when checkpoint `start` was written? Then load the best weights and say so.

    Trainer itself would take one more step: it looks at the end only after a step.
    """
    state = TrainerState.load_from_json(str(start / "trainer_state.json"))
    metric = trainer.args.metric_for_best_model
    if state.global_step < steps and not (patience and exhausted(state.log_history, metric, patience)):
        return False
    state.best_model_checkpoint = str(start.parent / f"checkpoint-{state.best_global_step}")
    trainer.state = state
    trainer._load_best_model()
    return True


def _outcome(trainer: PhaseTrainer) -> Trained:
    state = trainer.state
    best = next(
        entry for entry in state.log_history
        if entry["step"] == state.best_global_step and f"eval_{trainer.args.metric_for_best_model}" in entry
    )  # fmt: skip
    return Trained(float(state.best_metric), float(best["epoch"]), int(state.global_step))


def _arguments(
    recipe: Recipe, steps: int, metric: str, folder: Path, seed: int, device: torch.device
) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.lr,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=1.0,
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        logging_steps=_LOG_EVERY_STEPS,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # it would hide a NaN loss behind earlier figures
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=True,
        disable_tqdm=True,
        log_level="error",
        report_to=recipe.report_to,
        seed=seed,
        data_seed=seed,
        dataloader_num_workers=recipe.workers,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        average_tokens_across_devices=False,  # of losses that are means over tokens; training_step does its own
        use_cpu=device.type == "cpu",
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # DataParallel is slower than one GPU and breaks captured graphs; use torchrun
    return arguments
