"""What a model can be for. A task is one file here and one line in this table."""

from edgeft.registry import Registry

TASKS = Registry(
    "task",
    {
        "audio-classification": "edgeft.tasks.audio_classification:TASK",
        "image-classification": "edgeft.tasks.image_classification:TASK",
        "token-classification": "edgeft.tasks.token_classification:TASK",
        "text-classification": "edgeft.tasks.text_classification:TASK",
    },
)
