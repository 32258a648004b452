"""What of the examples does not fit the model: texts that are cut, images that are enlarged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeft.data.dataset import Dataset, Example
from edgeft.tasks.task import Encoder

_AT_ONCE = 256


def fit_of(encoder: Encoder, dataset: Dataset, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """"texts": how many of each split are cut at how many tokens; "enlarged": images smaller than the model's input."""
    if dataset.content == "text":
        cut = {split: _cut(encoder, examples) for split, examples in dataset.splits.items()}
        of = {split: len(examples) for split, examples in dataset.splits.items()}
        return {"texts": {"limit_tokens": preprocessing["max_length"], "cut": cut, "of": of}}
    sides = dataset.checks.get("images", {}).get("shorter_side_px")
    wanted = min(preprocessing["height"], preprocessing["width"])
    if not sides or sides["median"] >= wanted:
        return {}
    return {"enlarged": {"wanted_px": wanted, "median_px": sides["median"]}}


def _cut(encoder: Any, examples: Sequence[Example]) -> int:
    before = encoder.truncated
    for start in range(0, len(examples), _AT_ONCE):
        encoder([example.content for example in examples[start : start + _AT_ONCE]])
    return int(encoder.truncated - before)


def fit_lines(fit: Mapping[str, Any]) -> Iterator[str]:
    """What a person should know of it."""
    texts, enlarged = fit.get("texts"), fit.get("enlarged")
    if texts and any(texts["cut"].values()):
        parts = ", ".join(f"{texts['cut'][split]} of {texts['of'][split]} in {split}" for split in texts["cut"])
        yield f"texts longer than {texts['limit_tokens']} tokens are cut: {parts} (--max-length)"
    if enlarged:
        yield (
            f"half of the images have a shorter side under {enlarged['median_px'] + 1} pixels, and are enlarged to the "
            f"model's {enlarged['wanted_px']} (--image-size)"
        )
