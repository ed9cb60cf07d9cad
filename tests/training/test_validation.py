"""Each process looks at its part of the pictures, and all of them come to the same score or the same error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch

from amfac_edge.datasets import PeopleSet, generated_people
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import AmfacError, FrameError, InputError
from amfac_edge.networks.fresh import fresh_network
from amfac_edge.training import Processes
from amfac_edge.training.validation import held_out_score

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from amfac_edge.datasets import OnFault

CPU = torch.device("cpu")


@dataclass(frozen=True)
class OneOfTwo(Processes):
    """A rank that hears what the other one has said."""

    said: list[Any] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401 - as it is
        self.said.append(value)
        parts = [*self.heard, value]
        return parts if self.rank == 1 else parts[::-1]


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_recipe(tiny_recipe)


@pytest.fixture
def people(recipe: Recipe) -> PeopleSet:
    return generated_people(3, 0, skeleton=recipe.skeleton, height=64, width=64)


def outcome(
    recipe: Recipe, people: PeopleSet, processes: Processes, on_fault: OnFault
) -> dict[str, float] | tuple[type[AmfacError], str]:
    try:
        return held_out_score(fresh_network(recipe, 0).eval(), recipe, people, processes, on_fault=on_fault)
    except AmfacError as error:
        return type(error), error.problem


def outcomes(recipe: Recipe, people: PeopleSet, on_fault: OnFault) -> list[Any]:
    """Of one process, then of the ranks 0 and 1 of two."""
    first, second = OneOfTwo(0, 2, CPU), OneOfTwo(1, 2, CPU)
    for one in (first, second):
        outcome(recipe, people, one, on_fault)
    first.heard.extend(second.said)
    second.heard.extend(first.said)
    return [outcome(recipe, people, one, on_fault) for one in (Processes(0, 1, CPU), first, second)]


def unreadable(monkeypatch: pytest.MonkeyPatch, *images: int) -> None:
    read = PeopleSet.read_image

    def damaged(self: PeopleSet, image_id: int) -> np.ndarray:
        if image_id in images:
            raise FrameError(f"{image_id}: cut short", cure="Copy it again.")
        return read(self, image_id)

    monkeypatch.setattr(PeopleSet, "read_image", damaged)


@pytest.mark.parametrize("images", [(2,), (1, 3), ()])
def test_a_rank_that_can_read_nothing_leaves_the_score_to_the_others(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, people: PeopleSet, images: tuple[int, ...]
) -> None:
    unreadable(monkeypatch, *images)
    alone, first, second = outcomes(recipe, people, "skip")
    assert "PCK" in alone
    assert first == second == alone


def test_pictures_that_nobody_can_read_are_refused_by_all(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, people: PeopleSet
) -> None:
    unreadable(monkeypatch, 1, 2, 3)
    alone, first, second = outcomes(recipe, people, "skip")
    assert alone == (InputError, f"{people.name}: no picture with a box could be read")
    assert first == second == alone


def test_a_fault_that_one_rank_meets_is_every_ranks(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, people: PeopleSet
) -> None:
    unreadable(monkeypatch, 2)
    assert outcomes(recipe, people, "refuse") == [(FrameError, "2: cut short")] * 3
