"""Scores against values computed by hand, and against the reference evaluators' saved numbers."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.accuracy import (
    PROTOCOLS,
    Predictions,
    ground_truth_boxes,
    load_predictions,
    protocol_of,
    require_scorable,
    save_predictions,
    score_people,
    without_doubles,
)
from amfac_edge.accuracy.pck import pck
from amfac_edge.accuracy.similarity import oks_scales, similarities
from amfac_edge.datasets import generated_people, load_people
from amfac_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amfac_edge.datasets import PeopleSet

    Make = Callable[..., PeopleSet]
    Predict = Callable[[PeopleSet], Predictions]


def _moved(people: PeopleSet, predictions: Predictions, area: float, by: float = 1.0) -> Predictions:
    """Every joint `by` of its OKS scale to the right: similarity exp(-by^2 / 2)."""
    scales = oks_scales(np.full(len(people), area), people.skeleton)
    shift = np.stack([by * scales, np.zeros_like(scales)], axis=-1)
    return dataclasses.replace(predictions, keypoints=predictions.keypoints + shift)


def test_oks_by_hand(made_people: Make) -> None:
    people = made_people([1])
    scales = oks_scales(people.areas, people.skeleton)
    assert scales[0, 0] == pytest.approx(2 * 0.026 * 100)
    points = people.keypoints[:, :, :2].copy()
    points[0, 3, 1] += math.sqrt(2) * scales[0, 3]
    assert similarities(points, people.keypoints, scales)[0, 0] == pytest.approx((16 + math.exp(-1)) / 17)
    people.keypoints[0, 4:, 2] = 0
    assert similarities(points, people.keypoints, scales)[0, 0] == pytest.approx((3 + math.exp(-1)) / 4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_perfect_predictions_score_one(made_people: Make, perfect: Predict, protocol: str) -> None:
    people = made_people([1, 1, 2], name="crowdpose-14", crowd_indices={1: 0.1, 2: 0.9})
    score = score_people(people, perfect(people), protocol)  # type: ignore[arg-type]
    wanted = {
        "coco": {"AP": 1.0, "AP50": 1.0, "AP75": 1.0, "APm": -1.0, "APl": 1.0, "AR": 1.0},
        "crowdpose": {
            "AP": 1.0, "AP50": 1.0, "AP75": 1.0, "APm": None, "APl": None, "AR": 1.0,
            "APeasy": 1.0, "APmedium": -1.0, "APhard": 1.0,
        },
        "pck": {"PCK": 1.0, "PCKbody": 1.0},
    }  # fmt: skip
    assert score.metrics == pytest.approx(wanted[protocol])
    assert (score.people, score.pictures, score.predictions) == (3, 2, 3)


def test_an_oks_of_0_6065_is_right_at_three_of_ten_thresholds(made_people: Make, perfect: Predict) -> None:
    people = made_people([1], area=5000.0)
    metrics = score_people(people, _moved(people, perfect(people), 5000.0)).metrics
    assert metrics == pytest.approx({"AP": 0.3, "AP50": 1, "AP75": 0, "APm": 0.3, "APl": -1, "AR": 0.3})


def test_crowdpose_takes_a_part_of_the_box_as_area(made_people: Make, perfect: Predict) -> None:
    people = made_people([1], name="crowdpose-14")
    moved = _moved(people, perfect(people), 100 * 200 * 0.53)
    assert score_people(people, moved).metrics["AP"] == pytest.approx(0.3)
    assert score_people(people, moved, "coco").metrics["AP"] != pytest.approx(0.3)


def test_one_of_two_people_found_is_half_of_the_recalls(made_people: Make, perfect: Predict) -> None:
    people = made_people([1, 2])
    metrics = score_people(people, perfect(people).chosen(np.array([0]))).metrics
    # Precision is 1 at the recalls 0, 0.01, ..., 0.50 and 0 above: 51 of 101.
    assert metrics["AP"] == pytest.approx(51 / 101)
    assert metrics["AR"] == pytest.approx(0.5)


def test_a_surer_wrong_person_halves_the_precision(made_people: Make, perfect: Predict) -> None:
    people = made_people([1, 2]).chosen(np.array([1]))
    both = perfect(made_people([1, 2]))
    assert score_people(people, both).metrics["AP"] == pytest.approx(0.5)


def test_no_predictions_score_zero(made_people: Make, perfect: Predict) -> None:
    people = made_people([1, 2])
    nothing = perfect(people).chosen(np.zeros(2, np.bool_))
    assert score_people(people, nothing).metrics["AP"] == 0
    assert score_people(people, nothing, "pck").metrics["PCK"] == 0


def test_pck_counts_joints_within_a_part_of_the_longer_side(made_people: Make, perfect: Predict) -> None:
    people = made_people([1, 2])
    predictions = perfect(people)
    predictions.keypoints[0, 5, 0] += 20.001  # left_shoulder, 0.1 of 200 pixels and a little
    predictions.keypoints[0, 6, 0] += 19.999
    people.keypoints[1, 16, 2] = 0
    result = pck(people, predictions, threshold=0.1)
    assert result.value == pytest.approx(32 / 33)
    assert result.body == pytest.approx(22 / 23)
    assert (result.joints["left_shoulder"], result.joints["right_shoulder"]) == (0.5, 1.0)
    alone = pck(people, predictions.chosen(np.array([1])), threshold=0.1)
    assert alone.value == pytest.approx(16 / 33)
    for threshold in (0, -1, 1.5, float("nan")):
        with pytest.raises(InputError, match=f"PCK at {threshold:g}"):
            pck(people, predictions, threshold=threshold)


def test_the_protocol_follows_the_skeleton(made_people: Make) -> None:
    assert protocol_of(made_people([1])) == "coco"
    crowd = made_people([1], name="crowdpose-14")
    assert protocol_of(crowd) == "crowdpose"
    bare = dataclasses.replace(crowd, skeleton=dataclasses.replace(crowd.skeleton, name="mine", sigmas=()))
    assert protocol_of(bare) == "pck"


def test_what_cant_be_scored_is_refused(made_people: Make, perfect: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    people = made_people([1])
    bare = dataclasses.replace(people, skeleton=dataclasses.replace(people.skeleton, name="mine", sigmas=()))
    with pytest.raises(InputError, match="no OKS sigmas for mine"):
        score_people(bare, perfect(people), "coco")
    with pytest.raises(InputError, match='unknown protocol "mpii"'):
        score_people(people, perfect(people), "mpii")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nobody in it has a labelled joint"):
        score_people(people.chosen(np.zeros(1, np.bool_)), perfect(people))
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingExtraError, match="needs the package pycocotools"):
        score_people(people, perfect(people))
    with pytest.raises(MissingExtraError, match="needs the package pycocotools"):
        require_scorable(people)
    assert require_scorable(people, "pck") == "pck"


def test_doubles_are_dropped_and_others_stay(made_people: Make, perfect: Predict) -> None:
    people = made_people([1, 1, 2])
    one = perfect(people)
    near, far = _moved(people, one, 2e4, by=0.2), _moved(people, one, 2e4, by=1.0)  # OKS 0.98 and 0.61 for their boxes
    both = Predictions(
        *(np.concatenate([getattr(each, field.name) for each in (one, near, far)]) for field in dataclasses.fields(one))
    )
    both.scores[:] = np.linspace(1, 0.1, 9)
    kept = without_doubles(both, people.skeleton)
    assert kept.scores.tolist() == both.scores[[0, 1, 2, 6, 7, 8]].tolist()
    assert len(without_doubles(one.chosen(np.zeros(3, np.bool_)), people.skeleton)) == 0


def test_saved_predictions_score_exactly_as_they_did(made_people: Make, perfect: Predict, tmp_path: Path) -> None:
    people = made_people([3, 4, 4])
    predictions = _moved(people, perfect(people), 1e4, by=0.7)
    save_predictions(tmp_path / "p.json", predictions)
    again = load_predictions(tmp_path / "p.json", people)
    assert (again.keypoints == predictions.keypoints).all()
    assert (again.scores == predictions.scores).all()
    assert score_people(people, again).metrics == score_people(people, predictions).metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 99}, r"entry 1: its image_id 99 is none of the 1 pictures of made"),
        ({"image_id": "3"}, "entry 1: image_id: expected a whole number"),
        ({"keypoints": [1, 2, 3]}, r"expected 51 numbers for the 17 joints of the data, got 3 numbers"),
        ({"keypoints": [float("nan")] * 51}, "not all are finite"),
        ({"score": None}, "score: expected a finite number, got null"),
        ({"score": float("inf")}, "score: expected a finite number"),
        ({"bbox": [1, 2, 0, 4]}, r"bbox: expected \[x, y, width, height\] with an area"),
        ({"id": 7}, "entry 1: its id 7 was there before"),
    ],
)
def test_faulty_predictions_are_refused(
    made_people: Make, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    good = {"image_id": 3, "category_id": 1, "keypoints": [1.0, 2.0, 0.5] * 17, "score": 0.5, "id": 7}
    path = tmp_path / "p.json"
    path.write_text(json.dumps([good, {**good, "id": 8, **change}]))
    with pytest.raises(InputError, match=message):
        load_predictions(path, made_people([3]))


@pytest.mark.parametrize(("content", "message"), [("{}", r"holds \{\}"), ("[1]", "entry 0 is 1"), ("[", "not JSON")])
def test_what_is_no_results_list_is_refused(made_people: Make, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_predictions(path, made_people([3]))


@pytest.mark.slow
def test_two_thousand_pictures_are_scored_in_time(tmp_path: Path) -> None:
    people = generated_people(2000, 1)
    boxes = ground_truth_boxes(people)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(2000), 3)
    predictions = Predictions(
        boxes.image_ids[rows],
        people.keypoints[rows, :, :2] + rng.normal(0, 4, size=(6000, 17, 2)),
        rng.random((6000, 17)),
        rng.random(6000),
        boxes.boxes[rows],
    )
    save_predictions(tmp_path / "p.json", predictions)
    started = time.process_time()  # not of the clock: cores may be shared
    score = score_people(people, load_predictions(tmp_path / "p.json", people), resamples=200)
    assert time.process_time() - started < 30
    assert 0 < (score.metrics["AP"] or 0) < 1


@pytest.mark.parametrize("name", ["coco", "crowdpose"])
def test_the_reference_evaluators_numbers(shared_data: Path, name: str) -> None:
    folder = shared_data / "eval_ref"
    people = load_people(folder / f"example_{name}_val.json")
    score = score_people(people, load_predictions(folder / f"example_{name}_preds.json", people))
    expected = json.loads((folder / "expected.json").read_text())[f"example_{name}"]
    del expected["computed_by"]
    figures = {**score.metrics, **score.more}
    assert {key: figures[key.replace("_", "")] for key in expected} == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("boxes", ["gtbox", "rtmdetbox"])
def test_the_peers_recorded_numbers(shared_data: Path, boxes: str) -> None:
    people = load_people(shared_data / "coco_person_dev" / "person_keypoints.json")
    score = score_people(people, load_predictions(shared_data / "peer_ref" / f"ulsp_{boxes}_dev.json", people))
    expected = json.loads((shared_data / "peer_ref" / "expected.json").read_text())
    figures = {**score.metrics, **score.more}
    assert [figures[key] for key in expected["keys"]] == pytest.approx(expected["dev"][f"ulsp_{boxes}"], abs=5e-7)


def test_perfect_predictions_on_real_crowdpose(shared_data: Path, perfect: Predict) -> None:
    people = load_people(shared_data / "fixtures" / "crowdpose" / "test_crowdpose.json")
    metrics = score_people(people, perfect(people.chosen(people.labelled))).metrics
    assert metrics["AP"] == pytest.approx(1.0)
    assert [metrics[name] for name in ("APeasy", "APmedium", "APhard")] == [-1.0, 1.0, -1.0]
