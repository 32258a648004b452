"""One label for a sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft.tasks.audio_encoder import AudioEncoder
from edgeft.tasks.classification import Classification
from edgeft.tasks.task import Task


class AudioClassification(Classification):
    name = "audio-classification"
    content = "audio"
    auto_model = "AutoModelForAudioClassification"

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> AudioEncoder:
        return AudioEncoder(preprocessing)


TASK: Task = AudioClassification()
