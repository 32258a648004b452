"""Opset and IR version: the lowest that does, never above what the target loads, and refused before any work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeft.errors import ProfileError, UsageError
from edgeft.exporting.ceilings import Versions, choose_versions, limits
from edgeft.profile import Profile
from edgeft.scheme import U8S8, U16S8

BOARD = Profile("board", "A board", "u8s8", ("CPUExecutionProvider",))


def board(**runtime) -> Profile:
    return replace(BOARD, runtime=runtime)


def test_eight_bits_get_opset_20_and_the_ir_version_of_its_time():
    assert choose_versions(U8S8, None, BOARD) == Versions(20, 9)
    assert choose_versions(U16S8, None, BOARD) == Versions(21, 10)
    assert choose_versions(None, None, BOARD) == Versions(20, 9)


def test_an_opset_too_low_is_refused_with_the_lowest_that_does():  # Q15, E13
    with pytest.raises(UsageError, match=r"--opset 11 is too low for uint8 activations.*type --opset 20"):
        choose_versions(U8S8, 11, BOARD)
    with pytest.raises(UsageError, match="type --opset 18"):
        choose_versions(None, 15, BOARD)
    with pytest.raises(UsageError, match="--opset 99"):
        choose_versions(U8S8, 99, BOARD)


def test_a_higher_opset_may_be_asked_for():
    assert choose_versions(U8S8, 21, BOARD) == Versions(21, 10)
    assert choose_versions(None, 18, BOARD) == Versions(18, 8)


def test_files_keep_to_what_the_runtime_of_the_profile_loads():  # R01
    assert choose_versions(U8S8, None, board(onnxruntime_min="1.17")) == Versions(20, 9)
    assert choose_versions(None, None, board(max_opset=19)) == Versions(19, 9)
    with pytest.raises(ProfileError, match="IR versions up to 8, and opset 20 needs 9"):
        choose_versions(U8S8, None, board(max_ir=8))
    with pytest.raises(ProfileError, match="loads opsets up to 20, and .* needs opset 21; type a lower --opset"):
        choose_versions(U8S8, 21, board(onnxruntime_min="1.17.3"))


def test_16_bits_on_an_old_runtime_are_refused():  # E14, R09
    with pytest.raises(ProfileError, match="loads opsets up to 19, and uint16 activations, .* needs opset 21"):
        choose_versions(U16S8, None, board(onnxruntime_min="1.16"))


def test_stated_limits_win_over_those_of_the_release():
    assert limits(board(onnxruntime_min="1.18")) == (21, 10)
    assert limits(board(onnxruntime_min="1.18", max_opset=20)) == (20, 10)
    assert limits(board(onnxruntime_min="1.99")) == (None, None)
    assert limits(BOARD) == (None, None)
