"""The ways --augment varies training examples, as data: name -> what it is for, how strong it is, and within what.

`--augment flip,randaugment:7,mixup` names several, each with the strength after a colon where it has one. Order means
nothing: they are written and applied in the order of this table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgeft.contents import MANY
from edgeft.errors import UsageError, did_you_mean

NONE = "none"


@dataclass(frozen=True)
class Policy:
    """One way of varying.

    content   the examples it is for: "image", "text" or "audio"
    unit      what its strength is; empty when it has none
    strength  the usual one, and the largest that means anything
    """

    content: str
    unit: str = ""
    strength: float = 0.0
    most: float = math.inf


# Strengths: randaugment, two operations of magnitude 9 of 10 (arXiv 1909.13719, ResNet-50 on ImageNet); mixup, alpha
# 0.2 of its Beta distribution (arXiv 1710.09412: 0.1 to 0.4 on ImageNet); cutmix, alpha 1 (arXiv 1905.04899); colour,
# 0.4 as in timm's ImageNet recipes; words, a tenth (arXiv 1901.11196 recommends 0.05 to 0.1); shift, a tenth of the
# length, as in the reference model of Speech Commands (arXiv 1804.03209: 100 ms of 1 s); mask, a fifth of the time and
# of the bands (arXiv 1904.08779 hides up to 27 of 80 bands and up to a fifth of the time).
POLICIES: Mapping[str, Policy] = MappingProxyType({
    "crop": Policy("image"),
    "flip": Policy("image"),
    "colour": Policy("image", "share", 0.4, 1.0),
    "randaugment": Policy("image", "magnitude", 9.0, 10.0),
    "mixup": Policy("image", "alpha", 0.2),
    "cutmix": Policy("image", "alpha", 1.0),
    "shift": Policy("audio", "share", 0.1, 0.5),
    "mask": Policy("audio", "share", 0.2, 0.9),
    "word-dropout": Policy("text", "share", 0.1, 0.9),
    "word-swap": Policy("text", "share", 0.1, 1.0),
})  # fmt: skip
_USUAL: Mapping[str, str] = MappingProxyType({"image": "crop"})


def usual(content: str) -> str:
    """What examples of this content are varied by when nobody says."""
    return _USUAL.get(content, NONE)


def read(value: Any) -> str:
    """The policies a person named, in the order of the table: "mixup,crop" -> "crop,mixup".

    Raises ValueError with what would have been right.
    """
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected none, or names with commas between them: {', '.join(POLICIES)}")
    given = [name.strip() for name in names]
    if given == [NONE]:
        return NONE
    found: dict[str, str] = {}
    for one in given:
        name = one.partition(":")[0]
        if name == NONE:
            raise ValueError("none stands alone")
        if name in found:
            raise ValueError(f"{name} is named twice")
        found[name] = _spelled(one)
    return ",".join(found[name] for name in POLICIES if name in found)


def _spelled(one: str) -> str:
    name, colon, strength = one.partition(":")
    if name not in POLICIES:
        raise ValueError(did_you_mean(name, [NONE, *POLICIES]))
    policy = POLICIES[name]
    if not colon:
        return name
    if not policy.unit:
        raise ValueError(f"{name} has no strength: write it without a colon")
    try:
        number = float(strength)
    except ValueError:
        number = math.nan
    if not 0 < number <= policy.most or math.isinf(number):
        limit = "" if math.isinf(policy.most) else f" and at most {policy.most:g}"
        raise ValueError(f"expected {name}:N, its {policy.unit} N above 0{limit}")
    return f"{name}:{number:g}"


def strengths(given: str) -> dict[str, float]:
    """Name -> strength of the policies in what `read` returned; nothing for "none"."""
    if given == NONE:
        return {}
    pairs = [one.partition(":") for one in given.split(",")]
    return {name: float(strength) if strength else POLICIES[name].strength for name, _, strength in pairs}


def refuse_foreign(given: str | None, content: str) -> None:
    """Raises UsageError for a policy that is for other examples than `content` ("image" or "text")."""
    for name in strengths(given or NONE):
        if POLICIES[name].content != content:
            own = ", ".join(other for other, policy in POLICIES.items() if policy.content == content)
            raise UsageError(
                f"--augment {name} is for {MANY[POLICIES[name].content]}, and the examples are {MANY[content]}",
                f"leave it out, or choose from {own}" if own else "leave it out",
            )


def record(given: str) -> list[dict[str, Any]]:
    """One entry a policy for tuned.json: its name and its strength under the name of its unit."""
    return [
        {"name": name, **({POLICIES[name].unit: strength} if POLICIES[name].unit else {})}
        for name, strength in strengths(given).items()
    ]
