"""Hardware profiles: which number grids, providers and threads a target wants. One TOML file each, no code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeft.errors import ProfileError, UsageError, did_you_mean
from edgeft.scheme import SCHEMES
from edgeft.toml import parse_toml

GENERIC = "generic"

# What a profile may hold. Everything but id, title, scheme and providers may be left out: unknown is absent.
_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "title": str,
    "scheme": str,
    "other_schemes": list,
    "providers": list,
    "provider_options": dict,
    "threads": int,
    "big_cores_only": bool,
    "energy": list,
    "runtime": dict,
    "session_options": dict,
    "session_config": dict,
    "detect": (dict, list),
    "memory": dict,
    "plausibility": dict,
}
_REQUIRED = ("id", "title", "scheme", "providers")
_WORDS = {"str": "text", "list": "a list", "int": "a whole number above 0", "bool": "true or false", "dict": "a table"}
_RUNTIME = ("onnxruntime_min", "onnxruntime_max", "max_opset", "max_ir")
_DETECT = (
    "architecture", "system", "board", "soc", "cpu_model", "implementer", "cpu_part", "all_flags", "any_flags",
    "without_flags",
)  # fmt: skip
_PATTERNS = ("board", "soc", "cpu_model")


@dataclass(frozen=True)
class Profile:
    """A target.

    id, title        as the user types it; one line for a person
    scheme           name of the number grids its kernels compute with
    other_schemes    further ones it computes right, next best first
    providers        execution providers of onnxruntime, best first
    provider_options provider -> its options, as onnxruntime takes them
    threads          threads of the runtime; None = one for each physical core the process may use
    big_cores_only   where cores differ in kind, keep off the little ones
    runtime          onnxruntime_min, onnxruntime_max: oldest and newest release it is for; max_opset, max_ir: what the
                     oldest loads, which export keeps to
    session_options  attributes of onnxruntime.SessionOptions to set
    session_config   its config entries ("session.…")
    energy           kinds of energy meters it may have, best first
    detect           sets of rules that recognise it, of which one has to fit; see edgeft.detect
    memory           ram_mb, where the board comes with one size only
    plausibility     name -> [lowest, highest] of published values; outside of it a flag is raised, nothing more
    source           the file it was read from
    """

    id: str
    title: str
    scheme: str
    providers: tuple[str, ...]
    threads: int | None = None
    big_cores_only: bool = True
    runtime: Mapping[str, Any] = field(default_factory=dict)
    session_options: Mapping[str, Any] = field(default_factory=dict)
    energy: tuple[str, ...] = ()
    detect: tuple[Mapping[str, Any], ...] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)
    plausibility: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None
    other_schemes: tuple[str, ...] = ()
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    session_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schemes(self) -> tuple[str, ...]:
        return (self.scheme, *self.other_schemes)

    @property
    def max_opset(self) -> int | None:
        return self.runtime.get("max_opset")

    @property
    def max_ir(self) -> int | None:
        return self.runtime.get("max_ir")


def profiles_folder() -> Path:
    """Beside the package when installed from a wheel, else in the checkout (an editable install)."""
    package = Path(__file__).resolve().parent
    for folder in (package / "profiles", package.parent / "profiles"):
        if (folder / f"{GENERIC}.toml").is_file():
            return folder
    raise ProfileError(f"there are no profiles beside {package}", "install edgeft again")


def profile_names() -> list[str]:
    return sorted(path.stem for path in profiles_folder().glob("*.toml"))


def load_profile(name: str | Path) -> Profile:
    """A profile by name, by file, or "auto" for the one that fits this machine.

    Raises UsageError for a name that does not exist, ProfileError for a file that is not right.
    """
    if str(name) == "auto":
        return detect()
    return _load(_place_of(str(name)))


def detect(root: Path = Path("/")) -> Profile:
    """The profile that fits the machine whose files are below `root`; see `edgeft.detect` for the reasons."""
    from edgeft.detect import detection

    return detection(root).best.profile


def _place_of(name: str) -> Path:
    if name in profile_names():
        return profiles_folder() / f"{name}.toml"
    given = Path(name).expanduser()
    if given.suffix == ".toml" or "/" in name:
        if given.is_file():
            return given
        raise UsageError(f"there is no profile file {given}", "edgeft profiles list shows the profiles by name")
    raise UsageError(f"no hardware profile is called {name!r}", did_you_mean(name, [*profile_names(), "auto"]))


@lru_cache(maxsize=64)
def _load(place: Path) -> Profile:
    try:
        document = parse_toml(place)
    except (ValueError, OSError) as error:
        raise ProfileError(f"{place} is not readable TOML: {error}", "correct that line") from None
    _check(place, document)
    values: dict[str, Any] = {**document, "detect": _rule_sets(document)}
    lists = ("providers", "energy", "other_schemes")
    values.update({name: tuple(document[name]) for name in lists if name in document})
    return Profile(**values, source=place)


def _rule_sets(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """[detect] is one set of rules, [[detect]] several."""
    given = document.get("detect", [])
    return (given,) if isinstance(given, Mapping) else tuple(given)


def _check(place: Path, document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        if name not in _KEYS:
            raise ProfileError(f"{place} has a key {name!r}", did_you_mean(name, _KEYS))
        if not _right(value, _KEYS[name]):
            raise ProfileError(f"{place}: {name} = {value!r} is not right", f"expected {_spelled(_KEYS[name])}")
    for name in _REQUIRED:
        if not document.get(name):
            raise ProfileError(f"{place} lacks {name}", "see profiles/generic.toml for what a profile needs")
    for scheme in (document["scheme"], *document.get("other_schemes", ())):
        if scheme not in _schemes():
            raise ProfileError(f"{place} names a scheme {scheme!r}", did_you_mean(str(scheme), _schemes()))
    _check_table(place, "runtime", document.get("runtime", {}), _RUNTIME)
    for rules in _rule_sets(document):
        _check_table(place, "detect", rules, _DETECT)
        for name in _PATTERNS:
            _check_pattern(place, name, rules.get(name, ""))


def _check_table(place: Path, table: str, given: Any, known: tuple[str, ...]) -> None:
    if not isinstance(given, Mapping):
        raise ProfileError(f"{place}: {table} = {given!r} is not right", f"write [{table}] and its keys below it")
    for name in given:
        if name not in known:
            raise ProfileError(f"{place} has a key {table}.{name}", did_you_mean(name, known))


@lru_cache(maxsize=1)
def _schemes() -> tuple[str, ...]:
    # Looked up once: asking for entry points reads the metadata of every installed package.
    return tuple(SCHEMES.names())


def _right(value: Any, kind: type | tuple[type, ...]) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, kind)


def _check_pattern(place: Path, name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ProfileError(f"{place}: detect.{name} is not a regular expression ({error})", "correct it") from None


def _spelled(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(_WORDS[one.__name__] for one in kinds)


def text_of(name: str) -> str:
    """The file of a profile with its comments, which hold the sources of its numbers."""
    place = load_profile(name).source
    assert place is not None  # every profile that was loaded has one
    return place.read_text(encoding="utf-8").rstrip()


def describe_all() -> str:
    """Name, scheme and title of every profile, one a line."""
    profiles = [load_profile(name) for name in profile_names()]
    names, schemes = (max(map(len, column)) for column in zip(*((one.id, one.scheme) for one in profiles), strict=True))
    return "\n".join(f"{one.id:<{names}}  {one.scheme:<{schemes}}  {one.title}" for one in profiles)
