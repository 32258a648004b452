"""From what transformers knows about a model's inputs to the description that training, export and devices read."""

from edgeft.tuning.preprocessing_audio import audio_preprocessing
from edgeft.tuning.preprocessing_image import image_preprocessing
from edgeft.tuning.preprocessing_text import text_preprocessing
from edgeft.tuning.preprocessing_words import words_preprocessing

__all__ = ["audio_preprocessing", "image_preprocessing", "text_preprocessing", "words_preprocessing"]
