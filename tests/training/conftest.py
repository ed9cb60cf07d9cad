"""A training that takes seconds: the tiny recipe and people that a program draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.training import Processes, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALONE = Processes(0, 1, torch.device("cpu"))


class Silent:
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.steps = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch_began(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        pass

    def step_done(self, loss: float) -> None:
        assert loss == loss  # noqa: PLR0124 - no NaN comes this far
        self.steps += 1

    def epoch_done(self, record: dict[str, Any]) -> None:
        self.records.append(record)


@pytest.fixture
def watcher() -> Silent:
    return Silent()


@pytest.fixture
def alone() -> Processes:
    return ALONE


@pytest.fixture
def plan_of(tmp_path: Path, tiny_recipe: Path) -> Callable[..., TrainingPlan]:
    """Makes plans: `training` holds changes of the recipe's training, the rest of the plan."""

    def make(training: dict[str, Any] | None = None, **changes: Any) -> TrainingPlan:  # noqa: ANN401 - any field
        told = {"epochs": 2, "batch_size": 4, "workers": 0} | (training or {})
        plain_recipe = load_recipe(tiny_recipe)
        recipe = replace(plain_recipe, training=replace(plain_recipe.training, **told))
        size = max(recipe.crop.height, recipe.crop.width, 64)
        people = generated_people(16, 0, skeleton=recipe.skeleton, height=size, width=size)
        plain: dict[str, Any] = {
            "recipe": recipe,
            "rule": recipe.training.scratch,
            "people": people,
            "held_out": None,
            "out": tmp_path / "out",
        }
        return TrainingPlan(**(plain | changes))

    return make
