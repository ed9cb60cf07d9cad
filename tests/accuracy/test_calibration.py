"""Scores with a known calibration are found again; too little data and scores that say nothing are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.accuracy import LogitsPredictor, fit_score
from amfac_edge.accuracy import calibration as calibration_module
from amfac_edge.accuracy.calibration import fit_platt
from amfac_edge.accuracy.reliability import JudgedJoints
from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import CropRule, ForeignNetwork, Recipe
from amfac_edge.errors import InputError
from amfac_edge.keypoints import SimccCode, crop_affines, inverse_affines, score_logits, transform_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet

RECIPE = Recipe(
    name="known",
    family="simcc-onnx",
    skeleton="coco-17",
    crop=CropRule(64, 64),
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    split_ratio=2.0,
    bin_centres=True,
    temperature=0.8,
    network=ForeignNetwork(),
)
SLOPE, INTERCEPT = 1.5, 3.0


def _chance(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-(SLOPE * score_logits(scores) + INTERCEPT))))


class _Known:
    """Logits whose plain score is drawn, and whose joints are right with just the probability that it stands for."""

    def __init__(self, people: PeopleSet, seed: int, *, rising: bool = True) -> None:
        affines = inverse_affines(crop_affines(people.boxes, RECIPE.crop))
        points = transform_points(people.keypoints[:, :, :2], affines)
        rng = np.random.default_rng(seed)
        # From 0.01 to 0.5, as scores of a trained network are.
        self.scores = np.exp(rng.uniform(np.log(0.01), np.log(0.5), points.shape[:2]))
        right = rng.random(points.shape[:2]) < _chance(self.scores if rising else 0.25 - self.scores / 2.1)
        self._points = np.where(right[..., None], points, (points + 32) % 64)
        self._next = 0

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        part = slice(self._next, self._next + len(images))
        self._next = (self._next + len(images)) % len(self._points)
        bins = SimccCode.of(RECIPE).bins[0]
        places = np.clip(np.rint((self._points[part] + 0.5) * 2 - 0.5), 0, bins - 1).astype(int)
        odds = self.scores[part] / (1 - self.scores[part])
        heights = RECIPE.temperature * np.log(odds * (bins - 1))
        logits = np.where(np.arange(bins) == places[..., None], heights[..., None, None], 0).astype(np.float32)
        return logits[:, :, 0], logits[:, :, 1]


@pytest.fixture(scope="module")
def people() -> PeopleSet:
    return generated_people(240, 1, height=64, width=64)


def test_a_known_calibration_is_found_again(people: PeopleSet) -> None:
    known = _Known(people, 3)
    found = fit_score(LogitsPredictor(RECIPE, known), people, seed=5)
    # Standard errors of maximum likelihood on the half that was fitted on.
    labelled = people.keypoints[:, :, 2] > 0
    scores = known.scores[labelled]
    features = np.stack([score_logits(scores), np.ones(len(scores))], axis=1)
    chances = _chance(scores)
    information = (features.T * (chances * (1 - chances))) @ features / 2
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    assert errors.max() < 0.2
    assert found.calibration.slope == pytest.approx(SLOPE, abs=4 * errors[0])
    assert found.calibration.intercept == pytest.approx(INTERCEPT, abs=4 * errors[1])
    assert found.calibration.temperature == RECIPE.temperature
    assert found.before.ece > 0.2
    assert found.after.ece < 2 * found.after.ece_by_chance
    assert found.after.log_loss < found.before.log_loss
    assert found.after.spearman == pytest.approx(found.before.spearman)
    assert found.after.spearman is not None
    assert found.after.spearman > 0.3
    assert set(found.losses) == {"min", "product", "geometric mean"}


def test_the_evidence_says_on_what(people: PeopleSet) -> None:
    evidence = fit_score(
        LogitsPredictor(RECIPE, _Known(people, 3)), people, seed=5, threshold=0.1
    ).calibration.fitted_on
    assert (evidence["data"], evidence["seed"], evidence["threshold"]) == ("generated-240-1", 5, 0.1)
    assert evidence["fitted"]["pictures"] == evidence["held_out"]["pictures"] == 120
    assert evidence["fitted"]["joints"] + evidence["held_out"]["joints"] == (people.keypoints[:, :, 2] > 0).sum()
    assert evidence["held_out"]["after"]["ece"] < evidence["held_out"]["before"]["ece"]


def test_the_halves_follow_the_seed(people: PeopleSet) -> None:
    found = [fit_score(LogitsPredictor(RECIPE, _Known(people, 3)), people, seed=seed).calibration for seed in (5, 5, 6)]
    assert found[0] == found[1]
    assert found[0].slope != found[2].slope


def test_another_temperature_is_taken_where_it_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    informative = rng.uniform(0.05, 0.95, 2000)
    right = rng.random(2000) < informative
    blurred = np.clip(informative + rng.normal(0, 0.5, 2000), 0.02, 0.98)
    none = np.zeros(2000, np.intp)
    joints = JudgedJoints(informative, right, np.arange(2000), 0.1, none, none)
    folds = np.arange(2000) % 5
    assert calibration_module._best_temperature(np.stack([blurred, informative], axis=1), joints, folds) == 1
    nearly = np.clip(informative + rng.normal(0, 0.01, 2000), 0.02, 0.98)
    assert calibration_module._best_temperature(np.stack([nearly, informative], axis=1), joints, folds) == 0


def test_scores_that_fall_with_correctness_are_refused(people: PeopleSet) -> None:
    with pytest.raises(InputError, match=r"the score doesn't rise with correctness .*slope -"):
        fit_score(LogitsPredictor(RECIPE, _Known(people, 3, rising=False)), people)


def test_too_little_data_is_refused() -> None:
    few = generated_people(8, 1, height=64, width=64)
    with pytest.raises(
        InputError, match=r"generated-8-1: half of it is 4 pictures with \d+ joints right and \d+ wrong"
    ):
        fit_score(LogitsPredictor(RECIPE, _Known(few, 3)), few)


def test_platt_by_hand() -> None:
    # Two scores with odds 1 : 3 and 3 : 1 of being right, 4,000 each: the map passes through both.
    scores = np.repeat([0.2, 0.6], 4000)
    right = np.concatenate([np.arange(4000) < 1000, np.arange(4000) < 3000])
    slope, intercept = fit_platt(scores, right)
    low, high = score_logits(np.array([0.2, 0.6]))
    assert slope == pytest.approx(2 * np.log(3) / (high - low), rel=2e-3)
    assert slope * low + intercept == pytest.approx(-np.log(3), abs=2e-3)


def test_what_parts_right_from_wrong_altogether_has_a_finite_slope() -> None:
    scores = np.concatenate([np.full(50, 0.3), np.full(50, 0.4)])
    slope, intercept = fit_platt(scores, scores > 0.35)
    assert 1 < slope < 100
    assert np.isfinite(intercept)


@pytest.mark.parametrize(
    ("scores", "right", "message"),
    [
        ([0.1, 0.2, 0.3], [0, 0, 0], r"none of 3 joints are right: there is no probability to fit"),
        ([0.1, 0.2, 0.3], [1, 1, 1], r"all of 3 joints are right"),
        ([0.2] * 4, [1, 0, 1, 0], r"doesn't rise .*slope 0,"),
        ([0.1, 0.1, 0.9, 0.9], [1, 1, 0, 0], r"doesn't rise .*slope -"),
    ],
)
def test_what_has_no_map_is_refused(scores: list[float], right: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_platt(np.array(scores), np.array(right, np.bool_))
