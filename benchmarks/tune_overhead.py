"""What edgeft tune costs beside a plain transformers Trainer loop on the same job.

    python -m benchmarks.tune_overhead [--rows 640] [--rounds 3] [--json FILE]

The job is made in code: short random texts of two classes, a random BERT (4 layers, width 128), one epoch, every
parameter learning, an evaluation and a checkpoint at its end. The plain loop is what a person writes by hand:
tokenizer, Trainer, its own collator and metrics. `plain, by length` also groups texts of like length, as edgeft does,
and is the baseline: without it padding, not overhead, would be measured. The systems take turns, round after round;
the figure is the median.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.data import Dataset

from benchmarks.table import Row, arguments, show
from edgeft import console
from edgeft.recipe import TuneSpec
from edgeft.tuning.run import tune

Result = TypeVar("Result")
BASELINE = "plain, by length"
BATCH = 32
WORDS = [f"word{number}" for number in range(400)]


def texts(n: int, seed: int) -> tuple[list[str], list[int]]:
    """Class 0 takes its words from the first half of the list, class 1 from the second."""
    rng = np.random.default_rng(seed)
    labels = [number % 2 for number in range(n)]
    half = len(WORDS) // 2
    return [" ".join(WORDS[label * half + word] for word in rng.integers(0, half, rng.integers(3, 30)))
            for label in labels], labels  # fmt: skip


def make_job(folder: Path, rows: int, layers: int = 4) -> None:
    (folder / "data").mkdir()
    for seed, (split, n) in enumerate({"train": rows, "validation": rows // 8, "test": 16}.items()):
        lines = [f"{text},class{label}" for text, label in zip(*texts(n, seed), strict=True)]
        (folder / "data" / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    words = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    tokenizer.save_pretrained(folder / "model")
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=128, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=512,
        max_position_embeddings=64,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder / "model")


class Rows(Dataset):
    def __init__(self, tokenizer: Any, n: int, seed: int) -> None:
        lines, self.labels = texts(n, seed)
        self.rows = [dict(tokenizer(line, truncation=True)) for line in lines]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.rows[index], "labels": self.labels[index]}


def plain(
    job: Path, out: Path, rows: int, by_length: bool, epochs: int = 1, lr: float = 1e-4, frozen: bool = False
) -> tuple[float, float]:
    """Seconds of training, evaluations and checkpoints of a Trainer used as its documentation shows, and the best
    accuracy on validation. `frozen`: the head alone learns."""
    transformers.set_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(job / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(job / "model", num_labels=2)
    model.base_model.requires_grad_(not frozen)
    settings = transformers.TrainingArguments(
        output_dir=str(out), num_train_epochs=epochs, per_device_train_batch_size=BATCH, per_device_eval_batch_size=64,
        learning_rate=lr, eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model="accuracy", disable_tqdm=True, report_to="none", log_level="error", use_cpu=True,
        train_sampling_strategy="group_by_length" if by_length else "random",
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=model, args=settings, train_dataset=Rows(tokenizer, rows, 0), eval_dataset=Rows(tokenizer, rows // 8, 1),
        data_collator=transformers.DataCollatorWithPadding(tokenizer), processing_class=tokenizer,
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start, float(trainer.state.best_metric or 0.0)


def edgeft(job: Path, out: Path) -> float:
    """Seconds of the float phase: training, evaluation, checkpoint, hashes, and the saved model."""
    run = tune(TuneSpec(
        model=str(job / "model"), data=str(job / "data"), scheme="none", freeze="none", lr=1e-4, epochs=1.0,
        batch_size=BATCH, device="cpu", output=out,
    ))  # fmt: skip
    assert run is not None
    return float(run.document["wall_s"]["float"])


def quiet() -> None:
    """No lines but the table's, and the same random model in every run."""
    console.set_verbosity(-1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)


def in_turn(systems: Mapping[str, Callable[[int], Result]], rounds: int) -> dict[str, list[Result]]:
    """What each system, called with the number of the round, gave in `rounds` rounds after one that warms up."""
    found: dict[str, list[Result]] = {name: [] for name in systems}
    for number in range(rounds + 1):
        for name, system in systems.items():
            result = system(number)
            if number:
                found[name].append(result)
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=640, help="training texts")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        make_job(job, options.rows)
        systems: dict[str, Callable[[int], float]] = {
            BASELINE: lambda n: plain(job, job / f"by length {n}", options.rows, by_length=True)[0],
            "plain": lambda n: plain(job, job / f"plain {n}", options.rows, by_length=False)[0],
            "edgeft tune": lambda n: edgeft(job, job / f"edgeft {n}"),
        }
        seconds = in_turn(systems, options.rounds)
    base = statistics.median(seconds[BASELINE])
    rows = [
        Row(name, "BERT 4x128", "training", statistics.median(took), "s", statistics.median(took) / base)
        for name, took in seconds.items()
    ]
    show("tune_overhead", rows, options.json)


if __name__ == "__main__":
    main()
