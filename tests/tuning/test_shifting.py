"""--augment shift and mask: what they do to an encoded sound."""

from __future__ import annotations

import numpy as np
import pytest

from edgeft import policies
from edgeft.errors import UsageError
from edgeft.tuning.augment import variation
from edgeft.tuning.shifting import Mask, Shift, time_axis

WAVEFORM = {"kind": "audio"}
BANDS = {"kind": "audio", "spectrogram": {"layout": "mel-time"}}


def test_shift_moves_along_time_and_loses_nothing() -> None:
    sound = np.arange(20, dtype=np.float32).reshape(2, 10)
    shift = Shift(0.3, axis=1)
    found = [shift(sound, np.random.default_rng(seed)) for seed in range(40)]
    moved = {int(np.flatnonzero(one[0] == 0)[0]) for one in found}
    assert moved == {7, 8, 9, 0, 1, 2, 3}  # three tenths of ten to either side
    assert all(np.array_equal(np.sort(one, axis=1), sound) for one in found)


def test_mask_hides_a_stretch_of_each_axis_behind_the_mean() -> None:
    sound = np.random.default_rng(0).normal(size=(10, 20)).astype(np.float32)
    widths = []
    for seed in range(60):
        masked = Mask(0.5)(sound, np.random.default_rng(seed))
        hidden = masked != sound
        assert np.all(masked[hidden] == sound.mean())
        widths.append((int(hidden.all(axis=1).sum()), int(hidden.all(axis=0).sum())))
    assert max(rows for rows, _ in widths) <= 10 and {0, 5} <= {rows for rows, _ in widths if rows < 10}
    assert max(columns for _, columns in widths if columns < 20) <= 10


def test_time_is_where_the_description_says() -> None:
    assert (time_axis(WAVEFORM), time_axis(BANDS)) == (0, 1)
    assert time_axis({"spectrogram": {"layout": "time-mel"}}) == 0


def test_policies_are_for_sounds() -> None:
    given = policies.read("mask,shift:0.2")
    assert given == "shift:0.2,mask"
    varied = variation(given, BANDS, 3)
    assert varied.image is not None and varied.text is None and varied.batch is None
    assert policies.usual("audio") == "none" and not variation("none", BANDS, 3)
    with pytest.raises(UsageError, match="--augment shift is for sounds, and the examples are images"):
        policies.refuse_foreign("shift", "image")
    with pytest.raises(UsageError, match="choose from shift, mask"):
        policies.refuse_foreign("crop", "audio")
