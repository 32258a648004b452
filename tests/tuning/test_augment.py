from __future__ import annotations

import pickle

import numpy as np

from edgeft.tuning.augment import _warp, cuts_views, enlarged, variation

DESCRIPTION = {
    "height": 32, "width": 32, "rescale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "channels": "RGB",
}  # fmt: skip


def half_bright() -> np.ndarray:
    """Left half -1, right half 1: a mirror image is easy to tell."""
    image = np.full((3, 32, 32), -1, dtype=np.float32)
    image[:, :, 16:] = 1
    return image


def views(kind: str, n: int = 40) -> list[np.ndarray]:
    vary = variation(kind, DESCRIPTION, 2).image
    assert vary is not None
    return [vary(half_bright(), np.random.default_rng(seed)) for seed in range(n)]


def mirrored(view: np.ndarray) -> bool:
    return bool(view[:, :, :8].mean() > view[:, :, -8:].mean())


def test_none_is_none() -> None:
    assert not variation("none", DESCRIPTION, 2) and not cuts_views("none")


def test_crop_never_mirrors_and_flip_does_about_half_the_time() -> None:
    assert not any(mirrored(view) for view in views("crop"))
    assert 10 <= sum(mirrored(view) for view in views("flip")) <= 30


def test_shape_dtype_and_range_stay_sane() -> None:
    for view in views("crop"):
        assert view.shape == (3, 32, 32) and view.dtype == np.float32
        assert -1.35 < view.min() < view.max() < 1.35  # 15 % brighter, 0.15 lifted


def test_views_differ_by_seed_and_repeat_with_it() -> None:
    first, second = views("crop", 2)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, views("crop", 1)[0])


def test_all_channels_are_moved_alike() -> None:
    view = views("crop", 1)[0]
    np.testing.assert_array_equal(view[0], view[2])


def test_the_identity_view_is_the_image() -> None:
    channel = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float32)
    np.testing.assert_allclose(_warp(channel, (1, 0, 0, 0, 1, 0), 20, 24), channel, atol=1e-5)


def test_a_shift_repeats_the_border() -> None:
    channel = np.arange(16, dtype=np.float32).reshape(1, 16).repeat(16, axis=0)
    moved = _warp(channel, (1, 0, 2, 0, 1, 0), 16, 16)
    np.testing.assert_allclose(moved[0], [*range(2, 16), 15, 15], atol=1e-4)


def test_images_are_encoded_a_third_larger_and_views_have_the_size_of_the_model() -> None:
    description = {
        "kind": "image",
        "resize": {"rule": "shortest_edge", "size": 36},
        "crop": {"height": 33, "width": 30, "rounding": "down"},
        "height": 33,
        "width": 30,
        "rescale": 1 / 255,
        "mean": [0.5, 0.5, 0.5],
    }
    larger = enlarged(description)
    assert larger["resize"] == {"rule": "shortest_edge", "size": 48}
    assert larger["crop"] == {"height": 44, "width": 40, "rounding": "down"}
    assert (larger["height"], larger["width"], larger["mean"]) == (44, 40, [0.5, 0.5, 0.5])
    vary = variation("crop", {**DESCRIPTION, "height": 33, "width": 30}, 2).image
    assert vary is not None
    assert vary(np.zeros((3, 44, 40), np.float32), np.random.default_rng(0)).shape == (3, 33, 30)


def test_a_whole_view_of_a_larger_image_is_the_image_made_smaller() -> None:
    column = np.arange(40, dtype=np.float32)
    small = _warp(np.tile(column, (40, 1)), (4 / 3, 0, 0, 0, 4 / 3, 0), 30, 30)
    # output pixel x reads the input at (x + 0.5) * 4 / 3 - 0.5
    np.testing.assert_allclose(small[15], (np.arange(30) + 0.5) * 4 / 3 - 0.5, atol=0.02)


def test_it_can_be_sent_to_loader_processes() -> None:  # T12
    vary = pickle.loads(pickle.dumps(variation("flip", DESCRIPTION, 2))).image
    first = vary(half_bright(), np.random.default_rng(0))
    np.testing.assert_array_equal(first, views("flip", 1)[0])
    every = variation("crop,colour,randaugment,mixup,cutmix,word-dropout,word-swap", DESCRIPTION, 2)
    assert repr(pickle.loads(pickle.dumps(every))) == repr(every)


def test_only_views_are_cut_from_larger_images() -> None:
    assert cuts_views("flip,mixup") and cuts_views("crop") and not cuts_views("colour,randaugment,cutmix")


def test_every_policy_does_something_of_its_own() -> None:
    from edgeft.policies import POLICIES

    made = {name: repr(variation(name, DESCRIPTION, 2)) for name in POLICIES}
    assert len({*made.values(), repr(variation("none", DESCRIPTION, 2))}) == len(POLICIES) + 1
