"""The bootstrap: weights are repetitions, intervals cover, pairs cancel what they share."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amfac_edge.accuracy import Predictions, bootstrap_intervals, matched_people, paired_difference, score_people
from amfac_edge.accuracy.bootstrap import Interval, image_weights, percentile_interval, weighted_metrics
from amfac_edge.accuracy.pck import BODY_JOINTS, pck
from amfac_edge.datasets import PeopleSet, generated_people, join_people
from amfac_edge.errors import InputError

_IMAGES = 12


def _noisy(people: PeopleSet, seed: int, noise: float = 6.0) -> Predictions:
    """Two predictions a person, of any quality; scores are all different."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(people)), 2)
    spread = noise * rng.random((len(rows), 1, 1))
    return Predictions(
        people.image_ids[rows],
        people.keypoints[rows, :, :2] + spread * rng.normal(size=(len(rows), people.keypoints.shape[1], 2)),
        np.ones((len(rows), people.keypoints.shape[1])),
        rng.permutation(len(rows)) / len(rows),
        people.boxes[rows],
    )


@given(st.lists(st.integers(0, 3), min_size=_IMAGES, max_size=_IMAGES), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_a_weight_is_a_repetition(weights: list[int], seed: int) -> None:
    """A set with its pictures written out as often as they were drawn scores what the weights say, by the evaluator."""
    if not any(weights):
        return
    people = generated_people(_IMAGES, 4)
    predictions = _noisy(people, seed)
    copies = [(people.of_images([n]), predictions.chosen(predictions.image_ids == n)) for n in people.images]
    repeated = [pair for pair, times in zip(copies, weights, strict=True) for _ in range(times)]
    written_out = join_people([each for each, _ in repeated])
    parts = [
        dataclasses.replace(found, image_ids=np.full(len(found), new)) for new, (_, found) in enumerate(repeated, 1)
    ]
    joined = Predictions(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Predictions))
    )
    weighted = weighted_metrics(matched_people(people, predictions), np.array(weights))
    assert score_people(written_out, joined).metrics == pytest.approx(weighted)


@pytest.mark.parametrize("skeleton", ["coco-17", "crowdpose-14"])
def test_equal_weights_give_the_evaluators_own_figures(skeleton: str) -> None:
    people = generated_people(40, 2, skeleton=skeleton)
    predictions = _noisy(people, 1)
    score = score_people(people, predictions)
    found = weighted_metrics(
        matched_people(people, predictions, crowdpose=score.protocol == "crowdpose"), np.ones(40, np.int64)
    )
    assert {name: score.metrics[name] for name in found} == pytest.approx(found, abs=1e-12)


def test_the_interval_has_the_score_in_it_and_is_the_same_for_a_seed() -> None:
    people = generated_people(40, 2)
    predictions = _noisy(people, 1)
    score = score_people(people, predictions, resamples=200, seed=3)
    interval = score.intervals["AP"]
    assert interval.low < (score.metrics["AP"] or 0) < interval.high
    assert interval.high - interval.low > 0.02
    matches = matched_people(people, predictions)
    assert bootstrap_intervals(matches, 200, seed=3)["AP"] == interval
    assert bootstrap_intervals(matches, 200, seed=4)["AP"] != interval


def test_the_interval_of_pck_is_as_wide_as_arithmetic_says() -> None:
    """One person a picture who is right with all joints or none: the standard error is sqrt(p (1 - p) / n)."""
    people = generated_people(400, 2)
    half = _noisy(people, 1, noise=0).chosen(np.arange(0, 800, 4))
    interval = pck(people, half, resamples=2000).intervals["PCK"]
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * np.sqrt(0.25 / 400), rel=0.1)
    assert (interval.high + interval.low) / 2 == pytest.approx(0.5, abs=0.01)


def test_pck_of_the_body_has_an_interval_of_its_own() -> None:
    """All joints of the head are missed, all others found: no draw of pictures changes either figure of the body."""
    people = generated_people(40, 2)
    body = np.isin(people.skeleton.joints, BODY_JOINTS)
    found = _noisy(people, 1, noise=0)
    moved = dataclasses.replace(found, keypoints=np.where(body[:, None], found.keypoints, -1e4))
    result = pck(people, moved, resamples=100)
    assert (result.body, result.intervals["PCKbody"]) == (1.0, Interval(1.0, 1.0))
    assert result.intervals["PCK"].high < 1
    assert score_people(people, moved, "pck", resamples=100).intervals.keys() == {"PCK", "PCKbody"}


def test_crowdposes_classes_have_intervals() -> None:
    """Easy pictures are perfect, hard ones are not, and none is between."""
    people = generated_people(40, 2, skeleton="crowdpose-14")
    records = {
        number: dataclasses.replace(record, crowd_index=0.1 if number % 2 else 0.9)
        for number, record in people.images.items()
    }
    crowd = dataclasses.replace(people, images=records)
    noisy = _noisy(crowd, 1).chosen(np.arange(0, 80, 2))
    truth = crowd.keypoints[:, :, :2]
    easy = (noisy.image_ids % 2 == 1)[:, None, None]
    score = score_people(
        crowd, dataclasses.replace(noisy, keypoints=np.where(easy, truth, noisy.keypoints)), resamples=100
    )
    easy_ap, hard, none = (score.intervals[name] for name in ("APeasy", "APhard", "APmedium"))
    assert (easy_ap.low, easy_ap.high) == pytest.approx((1.0, 1.0))
    assert hard.low < (score.metrics["APhard"] or 0) < hard.high < 1
    assert (none.low, none.high) == (-1, -1)


def test_a_pair_tells_what_two_intervals_cant() -> None:
    people = generated_people(40, 2)
    worse = _noisy(people, 1, noise=6.0)
    centre = people.keypoints[np.repeat(np.arange(40), 2), :, :2]
    better = dataclasses.replace(worse, keypoints=centre + 0.9 * (worse.keypoints - centre))
    one, other = matched_people(people, better), matched_people(people, worse)
    difference = paired_difference(one, other, 300)["AP"]
    assert difference.low > 0
    alone, rival = bootstrap_intervals(one, 300)["AP"], bootstrap_intervals(other, 300)["AP"]
    assert alone.low < rival.high
    same = paired_difference(one, one, 50)["AP"]
    assert (same.low, same.high) == (0, 0)


def test_what_cant_be_resampled_is_refused() -> None:
    people = generated_people(4, 2)
    matches = matched_people(people, _noisy(people, 1))
    with pytest.raises(InputError, match="--bootstrap 1: too few resamples"):
        bootstrap_intervals(matches, 1)
    with pytest.raises(InputError, match="--bootstrap 1: too few resamples"):
        score_people(people, _noisy(people, 1), "pck", resamples=1)
    part = people.of_images([1, 2])
    other = matched_people(part, _noisy(part, 1))
    with pytest.raises(InputError, match="scored on different pictures"):
        paired_difference(matches, other, 10)


def test_pictures_are_drawn_as_often_as_there_are() -> None:
    weights = image_weights(7, 50, 1)
    assert (weights.sum(axis=1) == 7).all()
    assert percentile_interval([]).low == -1
