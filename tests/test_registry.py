"""Names that stand for code."""

from importlib.metadata import EntryPoint

import pytest

from edgeft import registry
from edgeft.errors import EdgeftError, UsageError
from edgeft.registry import Registry
from edgeft.scheme import SCHEMES


def test_a_name_is_loaded_only_when_asked_for() -> None:
    table = Registry("thing", {"good": "math:pi", "broken": "no_such_module:x"})
    assert table.names() == ["broken", "good"]
    assert table.load("good") == pytest.approx(3.141592653589793)
    with pytest.raises(ModuleNotFoundError):
        table.load("broken")


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no scheme is called 'u8s9'; did you mean 'u8s8'"):
        SCHEMES.load("u8s9")


def entries(monkeypatch: pytest.MonkeyPatch, name: str, value: str, wanted: str = "edgeft.data_reader") -> None:
    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group)] if group == wanted else []

    monkeypatch.setattr(registry, "entry_points", found)


def test_a_strangers_name_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, "theirs", "math:e")
    assert Registry("data reader", {"ours": "math:pi"}).load("theirs") == pytest.approx(2.718281828459045)


def test_a_strangers_name_never_replaces_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, "ours", "math:e")
    with pytest.raises(EdgeftError, match="two packages name a data reader 'ours'"):
        Registry("data reader", {"ours": "math:pi"}).load("ours")


@pytest.mark.parametrize("name", SCHEMES.names())
def test_every_scheme_is_called_what_its_table_says(name: str) -> None:
    assert SCHEMES.load(name).name == name
