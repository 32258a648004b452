"""The error tree: one line each, and the exit codes of the contract."""

import pytest

from edgeft import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.EdgeftError, 1), (errors.UsageError, 2), (errors.DataError, 1), (errors.ModelError, 1),
        (errors.ProfileError, 1), (errors.FolderError, 1), (errors.MachineError, 1), (errors.GateFailed, 3),
        (errors.BudgetMissed, 3),
    ],
)  # fmt: skip
def test_exit_codes(kind: type[errors.EdgeftError], code: int) -> None:
    assert kind("what").exit_code == code


def test_a_message_is_one_line_whatever_it_was_made_of() -> None:
    error = errors.DataError("a\n b\r\n\tc", "do\nthis")
    assert str(error) == "a b c; do this"


def test_suggestions() -> None:
    assert errors.did_you_mean("epoch", ["epochs", "lr"]) == "did you mean 'epochs'?"
    assert errors.did_you_mean("zzz", ["b", "a"]) == "choose from a, b"
    assert errors.did_you_mean("zzz", []) == ""
