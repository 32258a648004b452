"""One label for a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft.tasks.classification import Classification
from edgeft.tasks.task import Task
from edgeft.tasks.text_encoder import TextEncoder


class TextClassification(Classification):
    name = "text-classification"
    content = "text"
    auto_model = "AutoModelForSequenceClassification"

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> TextEncoder:
        return TextEncoder(preprocessing, folder)


TASK: Task = TextClassification()
