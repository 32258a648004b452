"""explained.html: every example twice, under the eyes of both models. One file that needs no other."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.report.html import page

# The report's colours: blue speaks for the answer, orange against it.
_FOR, _AGAINST = (0, 114, 178), (213, 94, 0)
_STRONGEST = 0.75
Maps = Mapping[str, NDArray[np.float64]]


def render(document: Mapping[str, Any], maps: Mapping[str, Maps], shown: Mapping[str, Any]) -> str:
    """maps: sample id -> model -> importance of its parts; shown: sample id -> picture or words."""
    title = f"What {' and '.join(document['models'])} look at"
    told = sorted(document["samples"], key=lambda entry: float(entry["rank_correlation"]))
    return page(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            '<p class="sub">Blue: hiding it makes the answer of the original less sure; orange: surer. The deepest '
            "colour of a sample is its largest figure of both models. Hidden is "
            f"{escape(document['hidden'])}. Samples whose two pictures differ most come first; that they differ does "
            "not say that either is wrong: <code>edgeft eval</code> says what the change cost.</p>",
            *(_sample(entry, document["models"], maps[entry["id"]], shown[entry["id"]]) for entry in told),
        ],
    )


def _sample(entry: Mapping[str, Any], models: list[str], found: Maps, content: Any) -> str:
    most = max((float(np.abs(found[name]).max()) for name in models if found[name].size), default=0.0)
    same = "the same part" if entry["same_first"] else "another part"
    views = "".join(_view(name, entry, found[name], most, content) for name in models)
    return (
        f"<h3>{escape(entry['id'])}: {escape(entry['label'])}</h3>"
        f'<p class="sub">asked about &ldquo;{escape(entry["asked"])}&rdquo;; rank correlation '
        f"{entry['rank_correlation']:.3f}, {same} comes first; largest change {most:.3g} nats</p>"
        f'<div class="plots">{views}</div>'
    )


def _view(name: str, entry: Mapping[str, Any], importance: NDArray[np.float64], most: float, content: Any) -> str:
    said = entry["answers"][name]
    kind = "ok" if said["answer"] == entry["label"] else "no"
    drawn = _words(content, importance, most) if isinstance(content, tuple) else _image(content, importance, most)
    return (
        f"<figure>{drawn}<figcaption>{escape(name)}: <span class=\"{kind}\">{escape(said['answer'])}</span>, "
        f"{100 * said['probability']:.1f} % for &ldquo;{escape(entry['asked'])}&rdquo;</figcaption></figure>"
    )


def _words(words: tuple[str, ...], importance: NDArray[np.float64], most: float) -> str:
    marked = " ".join(
        f'<span title="{value:+.3g} nats" style="background:rgba({_colour(value)},{_strength(value, most):.2f})">'
        f"{escape(word)}</span>"
        for word, value in zip(words, importance.tolist(), strict=True)
    )
    return f"<p>{marked}</p>"


def _colour(value: float) -> str:
    return ",".join(map(str, _FOR if value > 0 else _AGAINST))


def _strength(value: float, most: float) -> float:
    return _STRONGEST * abs(value) / most if most else 0.0


def _image(picture: NDArray[np.uint8], importance: NDArray[np.float64], most: float) -> str:
    data = base64.b64encode(_png(overlaid(picture, importance, most))).decode()
    return f'<img alt="" style="width:min(100%,300px)" src="data:image/png;base64,{data}">'


def overlaid(picture: NDArray[np.uint8], importance: NDArray[np.float64], most: float) -> NDArray[np.uint8]:
    """The picture in grey under the colours: uint8 [height, width, 3]. Squares overlap by half, so the colour between
    two middles is the straight line between theirs."""
    from PIL import Image

    height, width = picture.shape[:2]
    grid = Image.fromarray(importance.astype(np.float32))
    spread = np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR))[..., None]
    strength = _STRONGEST * np.abs(spread) / most if most else np.zeros_like(spread)
    grey = picture.mean(axis=-1, keepdims=True)
    mixed = grey * (1 - strength) + np.where(spread > 0, _FOR, _AGAINST) * strength
    painted: NDArray[np.uint8] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    return painted


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    kept = io.BytesIO()
    Image.fromarray(picture).save(kept, "png")
    return kept.getvalue()
