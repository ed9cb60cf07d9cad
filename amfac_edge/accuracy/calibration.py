"""Fitting the score: the temperature and the map after which a joint's score is the probability that it is right.

Half of the pictures is fitted on, the other half is reported on; a picture is never parted. `ScoreCalibration` says
what the map is. J joints, G temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.accuracy.predicting import predict_people
from amfac_edge.accuracy.predictions import ground_truth_boxes
from amfac_edge.accuracy.reliability import judge, log_loss, reliability
from amfac_edge.errors import InputError
from amfac_edge.keypoints import ScoreCalibration, SimccCode, axis_scores, score_logits
from amfac_edge.keypoints.score import FARTHEST, FLATTEST, STEEPEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from amfac_edge.accuracy.predicting import LogitsPredictor
    from amfac_edge.accuracy.reliability import JudgedJoints, Reliability
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe

__all__ = ["COMBINATIONS", "FittedScore", "fit_platt", "fit_score"]

COMBINATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "min": lambda axes: axes.min(axis=-1),
    "product": lambda axes: axes.prod(axis=-1),
    "geometric mean": lambda axes: np.sqrt(axes.prod(axis=-1)),
}
"""Ways to make one score of both axes', (J, 2) -> (J,). The score is the first; the others are measured beside it."""

_STEPS = np.arange(-6, 7) / 2
"""Temperatures that are tried, as powers of 2 of the recipe's."""
_GAIN = 0.01
"""A temperature other than the recipe's is taken only where it lowers the log loss by more than this part."""
_FOLDS = 5
_FEWEST_PICTURES, _FEWEST_JOINTS = 10, 25
_NAME_LENGTH = 200


@dataclass(frozen=True)
class FittedScore:
    """What `fit_score` found.

    Attributes:
        calibration: the map, with its evidence; without a digest of the weights.
        before: the plain score on the half that was held out.
        after: the calibrated one.
        losses: log loss of each of the `COMBINATIONS` on the half that was fitted on, cross-validated over pictures;
            None for one that doesn't rise with correctness.
        unread: why pictures were left out, by id.
    """

    calibration: ScoreCalibration
    before: Reliability
    after: Reliability
    losses: dict[str, float | None]
    unread: dict[int, str]


def fit_score(
    predictor: LogitsPredictor,
    people: PeopleSet,
    *,
    threshold: float = 0.1,
    seed: int = 0,
    on_fault: OnFault = "refuse",
    progress: Callable[[int], None] | None = None,
) -> FittedScore:
    """Fit the score of a model on half of the pictures and report on the other half.

    Args:
        predictor: of the network's logits, as an artefact will have them (without flip averaging).
        people: annotated; they are looked for in their own boxes.
        threshold: a joint is right within this part of the box's longer side.
        seed: of the choice of the halves.
        on_fault: "skip" leaves out pictures that can't be read.
        progress: called with the number of boxes done.

    Raises:
        InputError: too few pictures, or too few joints that are right or wrong; or a score that doesn't rise with
            correctness.
        FrameError: a picture can't be read.
    """
    recipe = predictor.recipe
    temperatures = [recipe.temperature, *(recipe.temperature * 2.0 ** _STEPS[_STEPS != 0])]
    recording = _Recording(predictor, temperatures)
    boxes = ground_truth_boxes(people)
    found = predict_people(recording, people, boxes, on_fault=on_fault, progress=progress)
    joints = judge(people, found.predictions, threshold)
    axes = np.concatenate(recording.axes)[joints.prediction, joints.joint].astype(np.float64)
    fitted = _half(joints, seed)
    for half in (fitted, ~fitted):
        _check_enough(joints.chosen(half), people)
    fitting = joints.chosen(fitted)
    folds = _folds(fitting, seed)
    place = _best_temperature(axes[fitted].min(axis=1), fitting, folds)
    tried = {name: _loss(combine(axes[fitted, :, place]), fitting, folds) for name, combine in COMBINATIONS.items()}
    slope, intercept = fit_platt(axes[fitted, :, place].min(axis=1), fitting.right)
    calibration = ScoreCalibration(float(temperatures[place]), slope, intercept)
    held_out = joints.chosen(~fitted)
    calibrated = calibration.applied(axes[~fitted, :, place].min(axis=1)).astype(np.float64)
    before, after = reliability(held_out), reliability(replace(held_out, scores=calibrated))
    evidence = {
        "data": people.name[:_NAME_LENGTH],
        "split": people.split[:_NAME_LENGTH] if people.split else None,
        "threshold": threshold,
        "seed": seed,
        "fitted": _counts(fitting),
        "held_out": _counts(held_out) | {"before": before.figures(), "after": after.figures()},
    }
    losses = {name: value if np.isfinite(value) else None for name, value in tried.items()}
    return FittedScore(replace(calibration, fitted_on=evidence), before, after, losses, found.unread)


def fit_platt(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope a and intercept b of sigmoid(a·logit(s) + b) by maximum likelihood, with Platt's targets.

    Platt's targets are (n + 1) / (n + 2) of the n right ones and 1 / (m + 2) of the m wrong ones, so that scores that
    part right from wrong altogether have a finite slope.

    Args:
        scores: (J,) in 0..1.
        right: (J,), both kinds among them.

    Raises:
        InputError: nothing or everything is right, or the scores don't rise with correctness.
    """
    count = int(right.sum())
    if count in {0, len(right)}:
        raise InputError(
            f"{'all' if count else 'none'} of {len(right):,} joints are right: there is no probability to fit",
            cure="Give data on which the model is sometimes right and sometimes wrong.",
        )
    logits = score_logits(scores)
    centre, spread = float(logits.mean()), float(logits.std())
    targets = np.where(right, (count + 1) / (count + 2), 1 / (len(right) - count + 2))
    features = np.stack([(logits - centre) / (spread or 1.0), np.ones(len(logits))], axis=1)
    steepness, height = _logistic(features, targets)
    slope = steepness / spread if spread else 0.0
    intercept = height - slope * centre
    if not (FLATTEST <= slope <= STEEPEST and abs(intercept) <= FARTHEST):
        raise InputError(
            f"the score doesn't rise with correctness as a score should: slope {slope:.3g}, intercept {intercept:.3g}",
            cure="Calibrate a trained model, on data of the kind that it was trained on.",
        )
    return slope, intercept


def _logistic(features: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Newton's method on a convex loss; a step that doesn't lower it is halved."""

    def loss(weights: NDArray[np.float64]) -> float:
        exponents = features @ weights
        return float((np.logaddexp(0, exponents) - targets * exponents).mean())

    weights = np.zeros(2)
    for _ in range(100):
        probabilities = 0.5 + 0.5 * np.tanh(features @ weights / 2)
        gradient = features.T @ (probabilities - targets) / len(targets)
        curvature = (features.T * (probabilities * (1 - probabilities))) @ features / len(targets)
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-12:  # noqa: PLR2004 - no step at all
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:  # noqa: PLR2004 - far below what the data tell
            break
    return float(weights[0]), float(weights[1])


class _Recording:
    """A predictor that keeps how sure each axis was, at each temperature; its own score is the plain one."""

    def __init__(self, predictor: LogitsPredictor, temperatures: Sequence[float]) -> None:
        self._predictor = predictor
        self._temperatures = temperatures
        self._code = SimccCode.of(predictor.recipe)
        self.axes: list[NDArray[np.float32]] = []

    @property
    def recipe(self) -> Recipe:
        return self._predictor.recipe

    @property
    def trained(self) -> bool | None:
        return self._predictor.trained

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = self._predictor.logits(crops)
        self.axes.append(np.stack([axis_scores(x, y, each) for each in self._temperatures], axis=-1))
        return self._code.decode(x, y, self.recipe.temperature)


def _half(joints: JudgedJoints, seed: int) -> NDArray[np.bool_]:
    """(J,): whether a joint's picture is one of the half that is fitted on."""
    pictures = np.random.default_rng(seed).permutation(np.unique(joints.image_ids))
    return np.isin(joints.image_ids, pictures[: (len(pictures) + 1) // 2])


def _folds(joints: JudgedJoints, seed: int) -> NDArray[np.intp]:
    """(J,) the fold of each joint's picture."""
    pictures, place = np.unique(joints.image_ids, return_inverse=True)
    folds = np.random.default_rng([1, seed]).permutation(len(pictures)) % _FOLDS
    return np.asarray(folds[place.reshape(-1)])


def _check_enough(half: JudgedJoints, people: PeopleSet) -> None:
    pictures, right = len(np.unique(half.image_ids)), int(half.right.sum())
    if pictures < _FEWEST_PICTURES or min(right, len(half) - right) < _FEWEST_JOINTS:
        raise InputError(
            f"{people.name}: half of it is {pictures} pictures with {right:,} joints right and {len(half) - right:,} "
            "wrong: too few to tell a probability",
            cure=f"Give so much that each half has {_FEWEST_PICTURES} pictures, {_FEWEST_JOINTS} joints right and "
            f"{_FEWEST_JOINTS} wrong.",
        )


def _best_temperature(scores: NDArray[np.float64], joints: JudgedJoints, folds: NDArray[np.intp]) -> int:
    """The index of the temperature of (J, G) scores; 0, the recipe's own, unless another one is clearly better."""
    losses = [_loss(scores[:, place], joints, folds) for place in range(scores.shape[1])]
    best = int(np.argmin(losses))
    return best if losses[best] < (1 - _GAIN) * losses[0] else 0


def _loss(scores: NDArray[np.float64], joints: JudgedJoints, folds: NDArray[np.intp]) -> float:
    """Log loss of the map, each fold's by what the other folds gave; infinite where those had no map."""
    probabilities = np.empty(len(scores))
    for fold in range(_FOLDS):
        inside = folds == fold
        try:
            slope, intercept = fit_platt(scores[~inside], joints.right[~inside])
        except InputError:
            return np.inf
        probabilities[inside] = ScoreCalibration(1.0, slope, intercept).applied(scores[inside])
    return log_loss(probabilities, joints.right)


def _counts(joints: JudgedJoints) -> dict[str, Any]:
    return {
        "pictures": len(np.unique(joints.image_ids)),
        "joints": len(joints),
        "right": float(joints.right.mean()),
    }
