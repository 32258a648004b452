from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeft.errors import MachineError, UsageError
from edgeft.recipe import TuneSpec
from edgeft.tuning import refusals
from edgeft.tuning.batches import Order, Shares
from edgeft.tuning.batchsize import Step, largest
from edgeft.tuning.losses import cross_entropy
from edgeft.tuning.memory import answers_in, divided, is_out_of_memory
from edgeft.tuning.trainer import Recipe
from tests.tuning.test_trainer import Line, train


@pytest.mark.parametrize(
    ("holds", "most", "wanted"),
    [
        (1000, 512, Step(512, 1, True)),
        (100, 512, Step(64, 1, True)),
        (1000, 100, Step(64, 1, True)),
        (1000, 10, Step(32, 1, True)),
        (9, 512, Step(32, 4, True)),  # 8 at a time
        (0, 512, Step(32, 32, True)),  # training says that one example is too large
    ],
)
def test_the_largest_step_that_fits(holds: int, most: int, wanted: Step) -> None:
    assert largest(lambda n: n <= holds, most) == wanted


def test_rates_grow_with_the_root_of_a_step_that_was_found() -> None:
    assert Step(128, 1, True).rate == 2.0
    assert Step(128).rate == 1.0 == Step(32, 4, True).rate
    assert Step.given("auto") == Step(32) and Step.given(7) == Step(7)


def too_large_for(limit: int) -> Any:
    """Cross-entropy on a device that has no room for more than `limit` examples."""
    plain, seen = cross_entropy(), []

    def loss(logits: torch.Tensor, labels: torch.Tensor, inputs: Any) -> torch.Tensor:
        if len(labels) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        seen.append(len(labels))
        return plain(logits, labels, inputs)

    loss.seen = seen  # type: ignore[attr-defined]
    return loss


def test_too_little_memory_halves_what_is_computed_at_a_time_and_keeps_the_step(tmp_path: Path, capfd: Any) -> None:
    recipe = Recipe(epochs=2, batch_size=8, lr=0.01)
    whole, parted, loss = Line(), Line(), too_large_for(3)
    outcome = train(tmp_path / "whole", whole, recipe)
    assert train(tmp_path / "parted", parted, recipe, loss=loss) == outcome
    assert outcome.steps == 4 and loss.seen == [2] * 16
    assert parted.w.item() == pytest.approx(whole.w.item(), rel=1e-5)
    said = capfd.readouterr().err.splitlines()
    assert said == [
        "warning: memory did not suffice: a step now takes 2 parts of at most 4 examples one after the other; its "
        "batch stays as it was",
        "warning: memory did not suffice: a step now takes 4 parts of at most 2 examples one after the other; its "
        "batch stays as it was",
    ]


def test_parts_of_unlike_sizes_weigh_by_their_examples(tmp_path: Path) -> None:
    whole, parted = Line(), Line()
    train(tmp_path / "whole", whole, Recipe(epochs=1, batch_size=7, lr=0.01))
    train(tmp_path / "parted", parted, Recipe(epochs=1, batch_size=7, lr=0.01, parts=3))
    assert parted.w.item() == pytest.approx(whole.w.item(), rel=1e-5)


def test_one_example_that_finds_no_room_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="not enough memory for a training step of one example; choose a smaller"):
        train(tmp_path, Line(), Recipe(epochs=1, batch_size=4, lr=0.01), loss=too_large_for(0))


def test_what_is_out_of_memory() -> None:
    on_cpu = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    assert is_out_of_memory(RuntimeError(on_cpu)) and is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("")) and not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("not enough memory"))


def test_a_batch_in_parts() -> None:
    batch = {"x": torch.arange(10).reshape(5, 2), "labels": torch.arange(5)}
    parts = list(divided(batch, 2))
    assert [part["labels"].tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    assert torch.equal(torch.cat([part["x"] for part in parts]), batch["x"])
    assert len(list(divided(batch, 9))) == 5


def test_answers_of_a_batch() -> None:
    assert answers_in(torch.tensor([1, 2, 3])) == 3 == answers_in(torch.rand(3, 4))
    assert answers_in(torch.tensor([[-100, 1, 2], [-100, 4, -100]])) == 3


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_every_batch(world: int) -> None:
    order = Order(18, seed=0, batch_size=8)
    whole = [list(order)[start : start + 8] for start in (0, 8, 16)]
    shares = [list(Shares(Order(18, seed=0, batch_size=8), number, world)) for number in range(world)]
    assert {len(share) for share in shares} == {len(Shares(order, 0, world))} == {math.ceil(18 / 8)}
    for number, batch in enumerate(whole[:2]):
        assert [key for share in shares for key in share[number]] == batch
        sizes = [len(share[number]) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    last = [key for share in shares for key in share[2]]
    assert set(last) == set(whole[2]) and len(last) == max(world, 2)  # three processes: one example twice


def test_what_several_processes_cannot_do_is_refused(monkeypatch: Any) -> None:
    def spec(**given: Any) -> TuneSpec:
        return TuneSpec(model="m", data="d", **given)

    refusals.refuse_alone(spec(search=3))
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    refusals.refuse_alone(spec(batch_size=4))
    refusals.refuse_alone(spec(batch_size="auto"))
    with pytest.raises(UsageError, match="--batch-size 3 leaves some of 4 processes without examples"):
        refusals.refuse_alone(spec(batch_size=3))
    with pytest.raises(UsageError, match="--search was started as one run of 4 processes"):
        refusals.refuse_alone(spec(search=3))
