"""One tag for every word: named entities and their like. Main metric: F1 over whole entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.dataset import Example
from edgeft.tasks import classification, entities
from edgeft.tasks.task import Scores, Task, TensorSpec
from edgeft.tasks.windows import in_windows
from edgeft.tasks.words_encoder import WordsEncoder


class TokenClassification:
    name = "token-classification"
    metric = entities.METRIC
    content = "words"
    target = "tags"
    auto_model = "AutoModelForTokenClassification"

    def output_spec(self, n_labels: int) -> TensorSpec:
        return TensorSpec(classification.OUTPUT, "float32", ("batch", "sequence", n_labels), "logit")

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> WordsEncoder:
        return WordsEncoder(preprocessing, folder)

    def queries(self, examples: Sequence[Example], encoder: WordsEncoder) -> list[Example]:
        return in_windows(examples, encoder)

    def decode(self, output: NDArray[np.float32]) -> NDArray[np.int64]:
        return classification.decode(output)

    def score(
        self,
        predicted: NDArray[np.int64],
        labels: NDArray[np.int64],
        names: Sequence[str],
        owners: NDArray[np.int64] | None = None,
    ) -> Scores:
        return entities.score(predicted, labels, names, owners)

    def from_counts(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        return entities.f1(counts)


TASK: Task = TokenClassification()
