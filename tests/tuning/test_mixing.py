from __future__ import annotations

import numpy as np
import pytest

from edgeft.tuning.mixing import Mix

LABELS = np.array([0, 1, 2, 1])


def batch() -> np.ndarray:
    """Image i is i everywhere."""
    return np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) * np.ones((1, 3, 16, 12), np.float32)


def mixed(name: str, alpha: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return Mix(((name, alpha),), 3)(batch(), LABELS, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_have_the_shares_that_the_pixels_have(name: str) -> None:
    shares = []
    for seed in range(20):
        images, labels = mixed(name, 1.0, seed)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
        for index, image in enumerate(images):
            assert any(_fits(image, index, partner, labels[index]) for partner in range(4))
        shares.append(labels.max(1).min())
    assert min(shares) < 0.7 < max(shares)  # lambda is uniform from 0 to 1


def _fits(image: np.ndarray, index: int, partner: int, row: np.ndarray) -> bool:
    """Is there one share with which pixels and labels are those of `index` and `partner`?"""
    if index == partner:
        return bool(np.isclose(image.mean(), index, atol=1e-4)) and bool(np.isclose(row[LABELS[index]], 1))
    share = (image.mean() - partner) / (index - partner)
    expected = share * np.eye(3)[LABELS[index]] + (1 - share) * np.eye(3)[LABELS[partner]]
    return bool(np.allclose(row, expected, atol=1e-4))


def test_mixup_is_the_same_blend_at_every_pixel_and_cutmix_a_box() -> None:
    blended, _ = mixed("mixup", 1.0, 3)
    assert all(np.ptp(image) < 1e-6 for image in blended)
    boxed, _ = mixed("cutmix", 1.0, 3)
    assert set(np.unique(boxed)) <= {0.0, 1.0, 2.0, 3.0}
    for index, image in enumerate(boxed):
        other = image[0] != index
        rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
        if len(rows):
            assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_a_small_alpha_hardly_mixes() -> None:
    """Beta(0.02, 0.02) is almost always near 0 or 1."""
    sharp = [np.sort(mixed("mixup", 0.02, seed)[1].max(1))[0] for seed in range(40)]
    assert np.mean(np.array(sharp) > 0.99) > 0.8


def test_both_ways_take_turns() -> None:
    both = Mix((("mixup", 1.0), ("cutmix", 1.0)), 3)
    whole = [np.all(both(batch(), LABELS, np.random.default_rng(seed))[0] % 1 == 0) for seed in range(60)]
    assert 15 < sum(whole) < 45
