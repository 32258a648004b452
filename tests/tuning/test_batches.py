from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeft.data.dataset import Example
from edgeft.quant.feed import encoded, text_lengths
from edgeft.tasks.task import TensorSpec
from edgeft.tuning.batches import Collate, Order, Variation, class_shares


class Lengths:
    """Encodes a text as its length, padded to the longest: what was fed can be read off."""

    inputs = (TensorSpec("x", "float32", ("batch", "length")),)

    def __call__(self, contents):
        longest = max(len(text) for text in contents)
        rows = [[len(text)] + [0] * (longest - 1) for text in contents]
        return {"x": np.array(rows, dtype=np.float32)}


def test_every_epoch_plays_each_example_once_in_another_order() -> None:
    order = Order(10, seed=3, batch_size=4)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(index for _, index in first) == list(range(10))
    assert {epoch for epoch, _ in first} == {0} and {epoch for epoch, _ in second} == {1}
    assert [index for _, index in first] != [index for _, index in second]


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:  # T09
    unbroken, resumed = Order(10, seed=3, batch_size=4), Order(10, seed=3, batch_size=4)
    list(unbroken)
    unbroken.set_epoch(1)
    resumed.set_epoch(1)
    assert list(unbroken) == list(resumed)
    assert list(Order(10, seed=4, batch_size=4)) != list(Order(10, seed=3, batch_size=4))


def test_batches_hold_texts_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 64)
    played = [index for _, index in Order(64, seed=0, batch_size=8, lengths=lengths)]
    assert sorted(played) == list(range(64))
    batches = [lengths[played[start : start + 8]] for start in range(0, 64, 8)]
    padded = sum(int(batch.max()) * 8 for batch in batches)
    # Sorted by length there is no smaller amount of padding, and all 64 texts lie in one pool.
    ordered = np.sort(lengths)
    assert padded == sum(int(ordered[start : start + 8].max()) * 8 for start in range(0, 64, 8))
    assert [int(batch.max()) for batch in batches] != sorted(int(batch.max()) for batch in batches)


def test_the_short_batch_stays_last() -> None:
    lengths = [5, 1, 4, 2, 3, 9, 7, 8, 6, 10]
    played = [index for _, index in Order(10, seed=0, batch_size=4, lengths=lengths)]
    assert sorted(lengths[index] for index in played[8:]) == [9, 10]


def test_an_example_alone_in_its_batch_is_left_out() -> None:
    assert len(Order(9, seed=0, batch_size=4)) == 8 == len(list(Order(9, seed=0, batch_size=4)))
    assert len(Order(1, seed=0, batch_size=4)) == 1
    assert len(Order(3, seed=0, batch_size=1)) == 3


def test_collate_encodes_and_labels() -> None:
    batch = [((0, 0), Example("a", "xx", 1)), ((0, 1), Example("b", "xxxx", 0))]
    tensors = Collate(Lengths(), seed=0)(batch)
    assert tensors["x"].tolist() == [[2, 0, 0, 0], [4, 0, 0, 0]]
    assert tensors["labels"].tolist() == [1, 0] and tensors["labels"].dtype == torch.int64


def test_augmentation_depends_on_seed_epoch_and_index_only() -> None:  # T09
    def add_noise(array, rng):
        return array + np.float32(rng.random())

    def value(seed: int, epoch: int, index: int) -> float:
        example = Example("a", "x", 0)
        return float(Collate(Lengths(), seed, Variation(add_noise))([((epoch, index), example)])["x"][0, 0])

    assert value(0, 1, 2) == value(0, 1, 2)
    assert len({value(0, 1, 2), value(0, 2, 2), value(0, 1, 3), value(1, 1, 2)}) == 4


def test_encoded_tells_which_examples_a_batch_holds() -> None:
    examples = [Example(str(n), "x" * n, 0) for n in (5, 1, 4, 2)]
    batches = list(encoded(Lengths(), examples, 2, torch.device("cpu")))
    assert [chosen for chosen, _ in batches] == [[1, 3], [2, 0]]
    assert [tensors["x"][:, 0].tolist() for _, tensors in batches] == [[1, 2], [4, 5]]


def test_images_have_no_lengths() -> None:
    assert text_lengths([Example("a", Path("a.jpg"), 0)]) is None
    assert text_lengths([Example("a", "four", 0)]) == [4]


def test_balanced_draws_bring_every_class_equally_often() -> None:
    examples = [Example(str(i), "x", 0 if i < 90 else 1) for i in range(100)]
    shares = class_shares(examples)
    assert shares[0] == pytest.approx(1 / 180) and shares[99] == pytest.approx(1 / 20)
    order = Order(100, 0, 10, shares=shares)
    drawn = []
    for epoch in range(40):
        order.set_epoch(epoch)
        drawn += [examples[index].label for _, index in order]
    # 4,000 draws of a fair coin: three standard errors are 0.024
    assert len(drawn) == 4000 and abs(sum(drawn) / 4000 - 0.5) < 0.024
    assert list(order) == list(order)


def reversed_with_shares(images, labels, rng):
    return images[::-1] + np.float32(rng.random()), np.array([[0.5, 0.5]] * len(labels), np.float32)


def test_a_batch_is_mixed_after_its_first_example_epoch_and_seed_only() -> None:
    def mixed(seed: int, keys: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
        batch = [(key, Example(str(key), "x" * (key[1] + 1), 0)) for key in keys]
        return Collate(Lengths(), seed, Variation(batch=reversed_with_shares))(batch)

    first = mixed(0, [(0, 0), (0, 1)])
    assert first["labels"].tolist() == [[0.5, 0.5]] * 2
    assert (first["x"][0, 0] - first["x"][1, 0]).item() == pytest.approx(1)  # lengths 2 and 1, the other way round
    assert torch.equal(first["x"], mixed(0, [(0, 0), (0, 1)])["x"])
    offsets = [float(mixed(s, [(e, 0), (e, 1)])["x"][0, 0]) for s, e in ((0, 0), (1, 0), (0, 1))]
    assert len(set(offsets)) == 3


def test_texts_are_reworded_before_they_are_encoded() -> None:
    collate = Collate(Lengths(), 0, Variation(text=lambda text, rng: text + "!" * int(rng.integers(1, 3))))
    lengths = [int(collate([((epoch, 0), Example("a", "abc", 1))])["x"][0, 0]) for epoch in range(20)]
    assert set(lengths) == {4, 5}
    assert not collate.mixes and collate.varies
