"""How much of an answer hangs on each part of an example: hide the part, run the model, see what its score loses.

Only answers are needed, no gradients: what is told of a quantized model is of its real steps, not of the straight line
that stands for them in training (edgeft.quant.fake). Zeiler and Fergus, arXiv 1311.2901, section 2.1, for images; the
same with words is leave-one-out, Li, Monroe and Jurafsky, arXiv 1612.08220. Done by Captum's Occlusion and
FeatureAblation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeft.quant.feed import logits_of, tensors_of
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.text_encoder import TextEncoder

# A square of a fifth of the image, moved by half of itself: 81 to 100 places. With a seventh, some 190 places, eight
# images of EfficientNet-Lite0 at 160 px took 194 s of a processor for both models, loading them included.
_SQUARES = 5
_AT_A_TIME = 16


class Hiding(Protocol):
    """How the parts of one kind of content are hidden. `said` names it in reports."""

    said: str

    def shown(self, content: Any) -> NDArray[np.uint8] | tuple[str, ...]:
        """The example as the model sees it: RGB [height, width, 3], or the words."""
        ...

    def importance(self, model: nn.Module, content: Any, answer: int) -> NDArray[np.float64]:
        """What the logarithm of the probability of class `answer` loses when each part is hidden, in nats: positive
        where the part speaks for it. [rows, columns] of an image, [words] of a text."""
        ...


class Squares:
    """Parts of an image: squares of the mean colour of the model's training images (0 after normalisation)."""

    said = "a square of the mean colour, one fifth of the image wide, in steps of half its width"

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder

    def shown(self, content: Any) -> NDArray[np.uint8]:
        return self._encoder.pixels(Path(content))

    def importance(self, model: nn.Module, content: Any, answer: int) -> NDArray[np.float64]:
        from captum.attr import Occlusion

        ((name, image),) = tensors_of(self._encoder([content])).items()
        _, channels, height, width = image.shape
        size = (channels, max(height // _SQUARES, 1), max(width // _SQUARES, 1))
        step = (channels, (size[1] + 1) // 2, (size[2] + 1) // 2)
        found: Tensor = Occlusion(_score(model, answer, lambda images: {name: images})).attribute(
            image, sliding_window_shapes=size, strides=step, perturbations_per_eval=_AT_A_TIME
        )
        # Every channel of a square is hidden at once and has the same figure. One figure a step: between them nothing
        # more is known.
        middles = (slice(s // 2, None, s) for s in step[1:])
        return np.asarray(found[0, 0][tuple(middles)], dtype=np.float64)


class Tokens:
    """Parts of a text: its words, every token of one hidden at once by the tokenizer's own mask token."""

    said = "a word, each of its tokens replaced by the tokenizer's mask token"

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def shown(self, content: Any) -> tuple[str, ...]:
        return self._encoder.words(str(content))[0]

    def importance(self, model: nn.Module, content: Any, answer: int) -> NDArray[np.float64]:
        from captum.attr import FeatureAblation

        words, of_token = self._encoder.words(str(content))
        if not words:
            return np.zeros(0)
        tensors = tensors_of(self._encoder([content]))
        ids = tensors.pop("input_ids")
        others = tuple(tensors.values())

        def fed(hidden: Tensor, *rest: Tensor) -> dict[str, Tensor]:
            return {"input_ids": hidden, **dict(zip(tensors, rest, strict=True))}

        # Tokens that belong to no word, as [CLS], are one part more, whose figure is not used.
        parts = torch.from_numpy(np.where(of_token < 0, len(words), of_token))[None]
        found: Tensor = FeatureAblation(_score(model, answer, fed)).attribute(
            ids, baselines=self._encoder.mask_id, additional_forward_args=others or None, feature_mask=parts,
            perturbations_per_eval=_AT_A_TIME,
        )  # fmt: skip
        firsts = [int((of_token == word).argmax()) for word in range(len(words))]
        return np.asarray(found[0, firsts], dtype=np.float64)


def _score(
    model: nn.Module, answer: int, fed: Callable[..., Mapping[str, Tensor]]
) -> Callable[..., Tensor]:
    """Log-probability of class `answer`, [n], as a function of what Captum changes."""

    def score(*changed: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.log_softmax(logits_of(model(**fed(*changed))).float(), dim=-1)[:, answer]

    return score


HIDING: Mapping[str, Callable[[Any], Hiding]] = MappingProxyType({"image": Squares, "text": Tokens})
