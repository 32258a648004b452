"""What of the examples does not fit the model: texts and sounds that are cut, images that are enlarged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeft.data.dataset import Dataset, Example
from edgeft.tasks.task import Encoder

_AT_ONCE = 256


def fit_of(
    encoder: Encoder,
    dataset: Dataset,
    preprocessing: Mapping[str, Any],
    queries: Mapping[str, Sequence[Example]] | None = None,
) -> dict[str, Any]:
    """"texts": how many of each split are cut at how many tokens; "sentences": how many are in windows; "enlarged":
    images smaller than the model's input; "heard": the sample rate sounds are brought to, and how many are cut."""
    return _FITS[dataset.content](encoder, dataset, preprocessing, queries or {})


def _texts(encoder: Any, dataset: Dataset, how: Mapping[str, Any], _: Any) -> dict[str, Any]:
    cut = {split: _cut(encoder, examples) for split, examples in dataset.splits.items()}
    return {"texts": {"limit_tokens": how["max_length"], "cut": cut, "of": _sizes(dataset)}}


def _sentences(encoder: Any, dataset: Dataset, how: Mapping[str, Any], queries: Any) -> dict[str, Any]:
    return {"sentences": {"limit_tokens": how["max_length"], **_windows(encoder, queries)}}


def _images(encoder: Any, dataset: Dataset, how: Mapping[str, Any], _: Any) -> dict[str, Any]:
    sides = dataset.checks.get("images", {}).get("shorter_side_px")
    wanted = min(how["height"], how["width"])
    if not sides or sides["median"] >= wanted:
        return {}
    return {"enlarged": {"wanted_px": wanted, "median_px": sides["median"]}}


def _sounds(encoder: Any, dataset: Dataset, how: Mapping[str, Any], _: Any) -> dict[str, Any]:
    cut = {
        split: sum(encoder.is_cut(example.content) for example in examples)
        for split, examples in dataset.splits.items()
    }
    own = dataset.checks.get("sounds", {}).get("rates_hz", {})
    resampled = sum(n for rate, n in own.items() if int(rate) != encoder.rate_hz)
    heard: dict[str, Any] = {"rate_hz": encoder.rate_hz, "limit_s": encoder.limit_s, "resampled": resampled}
    heard["limit_of"] = "the model's spectrograms" if how.get("spectrogram") else "--audio-seconds"
    return {"heard": {**heard, "cut": cut, "of": _sizes(dataset)}}


_FITS = {"text": _texts, "words": _sentences, "image": _images, "audio": _sounds}


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {split: len(examples) for split, examples in dataset.splits.items()}


def _cut(encoder: Any, examples: Sequence[Example]) -> int:
    before = encoder.truncated
    for start in range(0, len(examples), _AT_ONCE):
        encoder([example.content for example in examples[start : start + _AT_ONCE]])
    return int(encoder.truncated - before)


def _windows(encoder: Any, queries: Mapping[str, Sequence[Example]]) -> dict[str, Any]:
    """By split, sentences read in windows and these windows; words that are longer than one and lose their end."""
    parts = {split: [query.whole for query in asked if query.whole] for split, asked in queries.items()}
    sentences = {split: len(set(found)) for split, found in parts.items()}
    windows = {split: len(found) for split, found in parts.items()}
    return {"in_windows": sentences, "windows": windows, "shortened_words": encoder.truncated}


def fit_lines(fit: Mapping[str, Any]) -> Iterator[str]:
    """What a person should know of it."""
    texts, long, enlarged, heard = (fit.get(key) for key in ("texts", "sentences", "enlarged", "heard"))
    if texts and any(texts["cut"].values()):
        parts = ", ".join(f"{texts['cut'][split]} of {texts['of'][split]} in {split}" for split in texts["cut"])
        yield f"texts longer than {texts['limit_tokens']} tokens are cut: {parts} (--max-length)"
    if long and any(long["in_windows"].values()):
        parts = ", ".join(f"{n} of {split} in {long['windows'][split]}" for split, n in long["in_windows"].items() if n)
        yield f"sentences longer than {long['limit_tokens']} tokens are read in overlapping windows: {parts}"
    if long and long["shortened_words"]:
        yield f"{long['shortened_words']} words have more tokens than a window takes, and lose their end (--max-length)"
    if heard and heard["resampled"]:
        yield f"{heard['resampled']} sounds are brought to the model's sample rate of {heard['rate_hz']} Hz"
    if heard and any(heard["cut"].values()):
        parts = ", ".join(f"{n} of {heard['of'][split]} in {split}" for split, n in heard["cut"].items())
        yield f"sounds longer than {heard['limit_s']:.3g} s are cut: {parts} ({heard['limit_of']})"
    if enlarged:
        yield (
            f"half of the images have a shorter side under {enlarged['median_px'] + 1} pixels, and are enlarged to the "
            f"model's {enlarged['wanted_px']} (--image-size)"
        )
