"""One label for an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft.tasks.classification import Classification
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.task import Task


class ImageClassification(Classification):
    name = "image-classification"
    content = "image"
    auto_model = "AutoModelForImageClassification"

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> ImageEncoder:
        return ImageEncoder(preprocessing)


TASK: Task = ImageClassification()
