"""Batches: every person once, the same whoever cuts them, begun anywhere, shared without overlap, errors as ours."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.training_fields import AugmentationRule
from amfac_edge.errors import FrameError, InputError, MachineError
from amfac_edge.training.batches import Batch, BatchLoader, normalised
from amfac_edge.training.crops import CropSet

if TYPE_CHECKING:
    from amfac_edge.datasets import PeopleSet

RECIPE = load_recipe("amfacpose-r18-128x128")


def loader(people: PeopleSet | None = None, *, on_fault: Any = "refuse", **options: Any) -> BatchLoader:  # noqa: ANN401
    crops = CropSet(people or generated_people(11, 0), RECIPE, AugmentationRule(), on_fault=on_fault)
    return BatchLoader(crops, **({"batch_size": 3, "workers": 0, "seed": 4} | options))


def indices(batches: list[Batch]) -> list[int]:
    return [index for batch in batches for index in batch.indices.tolist()]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first[:4], second[:4], strict=True)
    )


def test_an_epoch_has_nobody_twice_and_leaves_out_what_fills_no_batch() -> None:
    batches = loader()
    assert batches.batches == 3
    epochs = [indices(list(batches.epoch(epoch))) for epoch in range(8)]
    assert all(len(epoch) == len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert {index for epoch in epochs for index in epoch} == set(range(11))


def test_workers_change_nothing() -> None:
    here, there = loader(), loader(workers=2)
    for epoch in (0, 1):
        assert equal(list(here.epoch(epoch)), list(there.epoch(epoch)))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_begins_where_it_was_left(workers: int) -> None:
    batches = loader(workers=workers)
    whole = list(batches.epoch(3))
    broken_off = batches.epoch(3)
    next(broken_off)
    broken_off.close()  # type: ignore[attr-defined]
    assert equal(list(batches.epoch(3, start=1)), whole[1:])
    assert list(batches.epoch(3, start=3)) == []


def test_processes_share_an_epoch() -> None:
    alone = list(loader(batch_size=4).epoch(2))
    parts = [list(loader(batch_size=2, rank=rank, world_size=2).epoch(2)) for rank in (0, 1)]
    for whole, one, other in zip(alone, *parts, strict=True):
        assert whole.indices.tolist() == [*one.indices.tolist(), *other.indices.tolist()]


def test_too_few_people_for_a_batch() -> None:
    with pytest.raises(InputError, match="11 people don't fill a batch of 12"):
        loader(batch_size=6, world_size=2)


class Faulty:
    """A store that fails for one picture, or ends its process there."""

    def __init__(self, honest: Any, *, ends: bool = False) -> None:  # noqa: ANN401
        self._honest = honest
        self._ends = ends

    def __contains__(self, name: str) -> bool:
        return True

    def read(self, name: str, height: int, width: int) -> np.ndarray:
        if name == "000005":
            if self._ends:
                os._exit(9)
            raise FrameError("000005: is damaged", cure="Copy it again.")
        return np.asarray(self._honest.read(name, height, width))


def faulty(*, ends: bool = False) -> PeopleSet:
    people = generated_people(9, 0)
    return dataclasses.replace(people, stores=(Faulty(people.stores[0], ends=ends),))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_worker_is_ours(workers: int) -> None:
    with pytest.raises(FrameError, match="000005: is damaged") as raised:
        list(loader(faulty(), workers=workers).epoch(0))
    assert raised.value.cure == "Copy it again."


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_that_are_passed_over_are_named(workers: int) -> None:
    batches = loader(faulty(), workers=workers, on_fault="skip")
    assert len(list(batches.epoch(0))) == 3
    assert list(batches.faults) == ["000005: is damaged"]


def test_a_worker_that_dies_is_named() -> None:
    with pytest.raises(MachineError, match="a worker that cuts crops died") as raised:
        list(loader(faulty(ends=True), workers=1).epoch(0))
    assert "--workers" in raised.value.cure


def test_normalised_pixels() -> None:
    crops = torch.zeros(2, 4, 6, 3, dtype=torch.uint8)
    crops[0, 1, 2] = torch.tensor([255, 51, 0])  # blue, green, red
    found = normalised(crops, RECIPE)
    assert found.shape == (2, 3, 4, 6)
    assert found.dtype == torch.float32
    expected = (torch.tensor([0, 0.2, 1]) - torch.tensor(RECIPE.mean)) / torch.tensor(RECIPE.std)
    assert torch.allclose(found[0, :, 1, 2], expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
