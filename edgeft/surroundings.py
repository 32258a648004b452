"""What a machine cannot say of itself, stated by a person: how it is cooled and powered, what it stands in.

Throttling and energy hang on them, so they belong to a result (measurement.md names them); none is ever guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeft.errors import did_you_mean
from edgeft.options import text

_WORDS = {
    "cooling": "as in passive, or fan at full speed",
    "psu": "the power supply, as in official 27 W",
    "enclosure": "as in none, or plastic case, closed",
    "ram_type": "as in LPDDR4X-4267",
    "ambient_c": "temperature of the air in degrees Celsius",
}
AMBIENT = "ambient_c"


def read(value: Any) -> str:
    """`KEY=VALUE;KEY=VALUE`, or a TOML table, as the first form in the order of the keys.

    Raises ValueError for another key, an empty value, or an ambient_c that is no temperature from -60 to 100.
    """
    pairs = dict(value) if isinstance(value, Mapping) else _pairs(text(value))
    for key, said in pairs.items():
        if key not in _WORDS:
            raise ValueError(f"{key!r} is not one of them, {did_you_mean(key, _WORDS)}")
        if not str(said).strip() or ";" in str(said):
            raise ValueError(f"expected {key}=VALUE, {_WORDS[key]}")
    if AMBIENT in pairs:
        pairs[AMBIENT] = f"{_celsius(str(pairs[AMBIENT])):g}"
    return ";".join(f"{key}={str(pairs[key]).strip()}" for key in _WORDS if key in pairs)


def record(stated: str | None) -> dict[str, Any]:
    """What `read` returned, as keys of "system" in a result; `stated` lists them, for the machine did not say it."""
    if not stated:
        return {}
    pairs: dict[str, Any] = _pairs(stated)
    if AMBIENT in pairs:
        pairs[AMBIENT] = float(pairs[AMBIENT])
    return {**pairs, "stated": list(pairs)}


def _pairs(given: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in given.split(";"))):
        key, equals, said = part.partition("=")
        if not equals:
            raise ValueError(f"expected KEY=VALUE with ; between them, not {part!r}")
        found[key.strip()] = said.strip()
    return found


def _celsius(given: str) -> float:
    wrong = ValueError(f"expected ambient_c=NUMBER, {_WORDS[AMBIENT]}")
    try:
        degrees = float(given)
    except ValueError:
        raise wrong from None
    if not -60 <= degrees <= 100:
        raise wrong
    return degrees
