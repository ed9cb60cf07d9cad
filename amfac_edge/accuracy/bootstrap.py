"""How far a score may be off by chance: bootstrap over pictures.

Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, 13.3 (percentile intervals): draw as many pictures as
there are, with repetition, score them, many times; the middle 95 % of the scores are the interval. Pictures are drawn,
not people, since people in one picture are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from numpy.typing import NDArray

    from amfac_edge.accuracy.coco_evaluator import Matches

__all__ = [
    "Interval",
    "bootstrap_intervals",
    "image_weights",
    "paired_difference",
    "percentile_interval",
    "weighted_metrics",
]

_LEVEL = 0.95
_RECALLS = np.linspace(0.0, 1.0, 101)
_METRICS = (("AP", "", None), ("AP50", "", 0), ("AP75", "", 5), ("APm", "m", None), ("APl", "l", None))


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float


def image_weights(images: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """(resamples, images): how often each picture was drawn in each resample.

    Raises:
        InputError: fewer than 2 resamples.
    """
    if resamples < 2:  # noqa: PLR2004 - an interval has two ends
        raise InputError(f"--bootstrap {resamples}: too few resamples", cure="Give 200 or more.")
    rng = np.random.default_rng(seed)
    return rng.multinomial(images, np.full(images, 1 / images), size=resamples)


def weighted_metrics(matches: Matches, weights: NDArray[np.integer]) -> dict[str, float]:
    """AP, AP50, AP75, APm, APl and AR of a set in which each picture is there as often as its weight says.

    With all weights 1 these are the evaluator's own figures.

    Args:
        matches: of I pictures.
        weights: (I,) whole numbers from 0 on.
    """
    curves = {name: _curves(matches, area, weights) for area, name in enumerate(matches.areas)}
    figures = {}
    for metric, area, threshold in _METRICS:
        if area in curves:
            precision = curves[area][0]
            figures[metric] = _mean(precision if threshold is None else precision[threshold])
    return figures | {"AR": _mean(curves[""][1])}


def bootstrap_intervals(
    matches: Matches, resamples: int, seed: int = 0, *, classes: Mapping[str, Container[int]] | None = None
) -> dict[str, Interval]:
    """The 95 % interval of each figure of `weighted_metrics`.

    Args:
        matches: of I pictures.
        resamples: how many.
        seed: of the draws.
        classes: ids of pictures; the AP of these alone is a figure more, of that name.

    Raises:
        InputError: fewer than 2 resamples.
    """
    parts = {
        name: np.array([number in images for number in matches.images.tolist()], np.int64)
        for name, images in (classes or {}).items()
    }
    rows = [
        weighted_metrics(matches, weights)
        | {name: weighted_metrics(matches, weights * part)["AP"] for name, part in parts.items()}
        for weights in image_weights(len(matches.images), resamples, seed)
    ]
    return {name: percentile_interval([row[name] for row in rows if row[name] > -1]) for name in rows[0]}


def paired_difference(one: Matches, other: Matches, resamples: int, seed: int = 0) -> dict[str, Interval]:
    """The 95 % interval of `one` minus `other`, both scored on the same resamples of the same pictures.

    An interval without 0 in it: the difference is more than chance in the choice of pictures.

    Raises:
        InputError: other pictures, or fewer than 2 resamples.
    """
    if not np.array_equal(one.images, other.images):
        raise InputError("the two predictors were scored on different pictures", cure="Score both on the same data.")
    pairs = [
        (weighted_metrics(one, weights), weighted_metrics(other, weights))
        for weights in image_weights(len(one.images), resamples, seed)
    ]
    return {
        name: percentile_interval([first[name] - second[name] for first, second in pairs if first[name] > -1])
        for name in pairs[0][0]
    }


def percentile_interval(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """The middle 95 % of the resamples' values, (B,); -1 and -1 where no resample had anybody to be found."""
    if not len(values):
        return Interval(-1.0, -1.0)
    low, high = np.quantile(np.asarray(values), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(low), float(high))


def _curves(
    matches: Matches, area: int, weights: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision at 101 recalls (T, 101) and final recall (T,); -1 where there is nobody to be found."""
    thresholds = matches.hits.shape[1]
    people = int(matches.people[area] @ weights)
    if not people:
        return np.full((thresholds, len(_RECALLS)), -1.0), np.full(thresholds, -1.0)
    # A picture drawn twice has its predictions twice; between equal ones the envelope below sees the last only.
    order = matches.order[weights[matches.pictures[matches.order]] > 0]
    times = weights[matches.pictures[order]].astype(np.float64)
    hits = np.cumsum(matches.hits[area][:, order] * times, axis=1)
    misses = np.cumsum(matches.misses[area][:, order] * times, axis=1)
    precision = hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([envelope, np.zeros((thresholds, 1))], axis=1)
    recall = hits / people
    at = np.stack([padded[row, np.searchsorted(recall[row], _RECALLS, side="left")] for row in range(thresholds)])
    return at, recall[:, -1] if len(order) else np.zeros(thresholds)


def _mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0
