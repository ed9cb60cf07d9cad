"""A short training on drawn people finds what no untrained network and no mean pose can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from amfac_edge.accuracy import Predictions, ground_truth_boxes, score_people
from amfac_edge.datasets import PeopleSet, generated_people
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.fresh import fresh_network
from amfac_edge.training import BEST, Processes, TrainingPlan, train
from amfac_edge.training.validation import held_out_score

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Silent  # type: ignore[import-not-found]


LARGER = {
    "stem_channels = [8, 8, 8]": "stem_channels = [16, 16, 16]",
    "stage_channels = [8, 16, 16, 16]": "stage_channels = [16, 32, 64, 64]",
    "afpn_width = 8": "afpn_width = 16",
    "hidden = 16": "hidden = 64",
}
TRAINING = """
[loss]
sigma_bins = 2.5
smoothing = 0.0
[training]
epochs = 16
batch_size = 16
workers = 0
[training.augmentation]
rotation = 0
scale = [0.9, 1.1]
[training.scratch]
lr = 2e-3
warmup_epochs = 1
ema = 0.99
"""


def recipe_of(tiny: Path, folder: Path) -> Recipe:
    """Larger than the tiny one, and with targets that fit its 96 bins."""
    text = tiny.read_text()
    for small, large in LARGER.items():
        assert small in text
        text = text.replace(small, large)
    path = folder / "small.toml"
    path.write_text(text + TRAINING)
    return load_recipe(path)


def mean_pose(people: PeopleSet, learned_from: PeopleSet) -> Predictions:
    """Each joint at its mean place in the box."""
    extents = learned_from.boxes[:, None, 2:] - learned_from.boxes[:, None, :2]
    mean = ((learned_from.keypoints[:, :, :2] - learned_from.boxes[:, None, :2]) / extents).mean(axis=0)
    boxes = ground_truth_boxes(people)
    places = boxes.boxes[:, None, :2] + mean * (boxes.boxes[:, None, 2:] - boxes.boxes[:, None, :2])
    ones = np.ones((len(places), len(mean)))
    return Predictions(boxes.image_ids, places, ones, ones[:, 0], boxes.boxes)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads of torch that wait for each other on cores that others use take six times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a training, on cores that may be shared
@pytest.mark.usefixtures("one_thread")
def test_it_learns(tmp_path: Path, tiny_recipe: Path, alone: Processes, watcher: Silent) -> None:
    recipe = recipe_of(tiny_recipe, tmp_path)
    people, held_out = generated_people(512, 0), generated_people(64, 1)
    untrained = held_out_score(fresh_network(recipe, 0), recipe, held_out, alone, protocol="pck")["PCK"]
    mean = score_people(held_out, mean_pose(held_out, people), "pck").metrics["PCK"]
    assert mean is not None
    plan = TrainingPlan(
        recipe, recipe.training.scratch, people, held_out, tmp_path / "run", protocol="pck", score_every=8
    )
    result = train(plan, alone, watcher)
    assert result.metric == "PCK"
    assert result.best is not None
    # Measured: .72; the mean pose .52, untrained networks .01 to .02.
    assert result.best > mean + 0.1
    assert result.best > untrained + 0.4
    kept = held_out_score(load_checkpoint(plan.out / BEST).network, recipe, held_out, alone, protocol="pck")
    assert kept["PCK"] == result.best
    losses = [record["loss"] for record in result.history]
    assert losses[-1] < 0.5 * losses[0]
