"""From boxes to joints by anything that predicts, flip averaging, disturbances, cases and the papers' rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.accuracy import (
    Boxes,
    LogitsPredictor,
    Predictions,
    case_sheet,
    curve_picture,
    ground_truth_boxes,
    load_boxes,
    paper_rows,
    predict_people,
    robustness_curve,
    score_people,
    write_curve,
)
from amfac_edge.accuracy.robustness import BLURS, LIGHTS, low_light, motion_blur
from amfac_edge.datasets import generated_people, load_people
from amfac_edge.declared.recipe import CropRule, ForeignNetwork, Recipe, load_recipe
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import SimccCode, crop_affines, inverse_affines, transform_points

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet

_RECIPE = Recipe(
    name="tried",
    family="simcc-onnx",
    skeleton="coco-17",
    crop=CropRule(64, 48),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.2),
    split_ratio=2.0,
    bin_centres=True,
    temperature=1.0,
    network=ForeignNetwork(),
)
_BINS = SimccCode.of(_RECIPE).bins


class _Oracle:
    """Knows the truth: each crop's joints in the order in which the boxes come."""

    trained = True

    def __init__(self, people: PeopleSet, error: float = 0.0) -> None:
        affines = inverse_affines(crop_affines(people.boxes, _RECIPE.crop))
        self._points = transform_points(people.keypoints[:, :, :2], affines).astype(np.float32) + np.float32(error)
        self._next = 0
        self.recipe = _RECIPE
        self.calls: list[int] = []

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        part = self._points[self._next : self._next + len(crops)]
        self._next = (self._next + len(crops)) % len(self._points)
        self.calls.append(len(crops))
        return part, np.full(part.shape[:2], 0.5, np.float32)


def test_what_is_found_in_crops_is_scored_in_the_picture() -> None:
    people = generated_people(50, 1)
    oracle = _Oracle(people)
    done: list[int] = []
    found = predict_people(oracle, people, ground_truth_boxes(people), progress=done.append)
    assert found.predictions.keypoints == pytest.approx(people.keypoints[:, :, :2], abs=1e-3)
    assert (found.predictions.scores == 0.5).all()
    assert (sum(done), max(oracle.calls), len(oracle.calls)) == (50, 32, 2)
    assert score_people(people, found.predictions).metrics["AP"] == pytest.approx(1.0)


def test_a_persons_score_is_mean_joint_score_times_box_score_and_doubles_go() -> None:
    people = generated_people(2, 1)
    rows = np.array([0, 0, 1])
    boxes = Boxes("detector.json", people.image_ids[rows], people.boxes[rows], np.array([0.9, 0.8, 0.4]))
    found = predict_people(_Oracle(people.chosen(rows)), people, boxes)
    assert found.predictions.scores.tolist() == [0.45, 0.2]


def test_a_picture_that_cant_be_read_is_refused_or_left_out() -> None:
    people = generated_people(3, 1)
    images = {**people.images, 2: dataclasses.replace(people.images[2], height=7)}
    broken = dataclasses.replace(people, images=images)
    boxes = ground_truth_boxes(broken)
    with pytest.raises(FrameError, match="no generated picture"):
        predict_people(_Oracle(people), broken, boxes)
    found = predict_people(_Oracle(people), broken, boxes, on_fault="skip")
    assert list(found.unread) == [2]
    assert found.predictions.image_ids.tolist() == [1, 3]
    with pytest.raises(InputError, match="no picture with a box could be read"):
        predict_people(
            _Oracle(people), broken, Boxes("b", boxes.image_ids[1:2], boxes.boxes[1:2], np.ones(1)), on_fault="skip"
        )


def test_another_skeleton_and_scores_that_are_no_numbers_are_refused() -> None:
    people = generated_people(2, 1, skeleton="crowdpose-14")
    with pytest.raises(InputError, match="finds the joints of coco-17, generated-2-1 has those of crowdpose-14"):
        predict_people(_Oracle(people), people, ground_truth_boxes(people))
    people = generated_people(2, 1)
    oracle = _Oracle(people)
    run = oracle.run
    oracle.run = lambda crops: (run(crops)[0], np.full((len(crops), 17), np.nan, np.float32))  # type: ignore[method-assign]
    with pytest.raises(InputError, match="tried gave scores that are not finite"):
        predict_people(oracle, people, ground_truth_boxes(people))


def _brightest(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A network that mirrors as it should: bins are as bright as their column or row, for every joint."""
    columns, rows = images[:, 0].max(axis=1), images[:, 0].max(axis=2)
    x, y = (np.repeat(np.repeat(each, 2, axis=1)[:, None], 17, axis=1) for each in (columns, rows))
    return x, y


def _dot(column: int, row: int) -> NDArray[np.uint8]:
    crop = np.zeros((1, 64, 48, 3), np.uint8)
    crop[0, row, column] = 255
    return crop


def test_flip_averaging_is_exact_under_the_bin_convention() -> None:
    crop = _dot(9, 30)
    plain, flipped = (LogitsPredictor(_RECIPE, _brightest, flip=flip).run(crop) for flip in (False, True))
    assert plain[0][0, 0].tolist() == [8.75, 29.75]
    assert (plain[0] == flipped[0]).all()
    assert (plain[1] == flipped[1]).all()


def test_flip_averaging_cancels_a_bias_and_exchanges_left_and_right() -> None:
    def biased(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = _brightest(images)
        ramp = np.linspace(0, 40, _BINS[0], dtype=np.float32)
        sided = np.zeros((17, 1), np.float32)
        sided[1] = 1  # of the left eye only: averaged over both eyes
        return x + ramp * (sided + 1), y

    crop = _dot(9, 30)
    off = LogitsPredictor(_RECIPE, biased).run(crop)[0]
    assert off[0, 0, 0] > 40
    back = LogitsPredictor(_RECIPE, biased, flip=True).run(crop)[0]
    assert back[0, 0].tolist() == [8.75, 29.75]
    # The eyes' ramps differ, so one of theirs is left over on each, in opposite directions.
    assert back[0, 1, 0] > 40
    assert back[0, 2, 0] < 9


def test_crops_are_normalised_as_the_recipe_says() -> None:
    seen = []

    def look(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen.append(images)
        return _brightest(images)

    crop = np.zeros((1, 64, 48, 3), np.uint8)
    crop[..., 2] = 255  # red, last in BGR
    LogitsPredictor(_RECIPE, look).run(crop)
    assert seen[0][0, :, 0, 0] == pytest.approx([2.5, -2.0, -1.5])


def test_a_detectors_boxes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}, '
        '{"image_id": 1, "category_id": 3, "bbox": [1, 2, 30, 40], "score": 0.5}]'
    )
    people = generated_people(2, 1)
    boxes = load_boxes(path, people)
    assert (boxes.source, boxes.is_ground_truth, boxes.scores.tolist()) == ("boxes.json", False, [0.5])
    assert boxes.boxes.tolist() == [[1, 2, 31, 42]]
    for box in ("[NaN, 2, 30, 40]", "[1, NaN, 30, 40]", "[1, 2, NaN, 40]", "[1, 2, 30, NaN]", "[1, 1e7, 30, 40]"):
        path.write_text(f'[{{"image_id": 1, "bbox": {box}, "score": 0.5}}]')
        with pytest.raises(InputError, match=r"entry 0: bbox: expected \[x, y, width, height\]"):
            load_boxes(path, people)
    named = tmp_path / "ground truth"
    named.write_text('[{"image_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}]')
    assert not load_boxes(named, people).is_ground_truth
    path.write_text('[{"image_id": 9, "bbox": [1, 2, 30, 40], "score": 0.5}]')
    with pytest.raises(InputError, match="its image_id 9 is none of the 2 pictures"):
        load_boxes(path, people)
    path.write_text("[]")
    with pytest.raises(InputError, match="has no boxes of people"):
        load_boxes(path, people)


def test_less_light_is_darker_and_noisier_and_a_smear_is_as_long_as_it_says() -> None:
    grey = np.full((64, 48, 3), 128, np.uint8)
    dark = low_light(1 / 8, grey, 3)
    assert dark.mean() == pytest.approx(128 * (1 / 8) ** (1 / 2.2), rel=0.05)
    assert (dark == low_light(1 / 8, grey, 3)).all()
    assert (dark != low_light(1 / 8, grey, 4)).any()
    line = np.zeros((200, 200, 3), np.uint8)
    line[100, 100] = 255
    smear = motion_blur(0.1, line, 3)[:, :, 0]
    rows, columns = np.nonzero(smear)
    assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(20, abs=2)
    assert (motion_blur(0.1, grey, 3) == grey).all()


def test_the_curve_of_a_model_that_looks(tmp_path: Path) -> None:
    people = generated_people(6, 1)

    class Dimmed(_Oracle):
        """Errs the more, the darker its crops are."""

        def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            points, scores = super().run(crops)
            return points + np.float32(2 if crops.mean() < 40 else 0), scores

    points = robustness_curve(Dimmed(people), people, ground_truth_boxes(people), "coco")
    light = [point.value for point in points if point.kind == "low light"]
    assert [point.strength for point in points] == [*LIGHTS, *BLURS]
    assert light[0] == pytest.approx(1.0)
    assert light[-1] < 0.9
    assert [point.value for point in points if point.kind == "motion blur"] == pytest.approx([1.0] * 6)
    write_curve(tmp_path / "c.csv", points)
    assert (tmp_path / "c.csv").read_text().splitlines()[:2] == [
        "disturbance,strength,metric,value",
        "low light,1,AP,1.000000",
    ]
    picture = curve_picture(points)
    assert picture.shape[1] > picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize("protocol", ["coco", "pck"])
def test_a_sheet_of_cases(protocol: str) -> None:
    people = generated_people(9, 1)
    found = predict_people(_Oracle(people, error=1.0), people, ground_truth_boxes(people)).predictions
    sheet = case_sheet(people, found.chosen(np.arange(8)), protocol, each=3)  # type: ignore[arg-type]
    assert sheet.shape[1] > 1000
    lost = dataclasses.replace(people, stores=(_Nothing(),))
    with pytest.raises(FrameError, match="no picture of a case could be read"):
        case_sheet(lost, found, protocol)  # type: ignore[arg-type]


class _Nothing:
    def __contains__(self, name: str) -> bool:
        return False

    def read(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        raise FrameError(f"{name} {height} {width}: gone", cure="none")


def test_the_papers_rows_stand_beside() -> None:
    rows = paper_rows("coco", load_recipe("amfacpose-r34-384x288"))
    own = [row for row in rows if row.is_this_model]
    assert [(row.label, row.metrics["AP"]) for row in own] == [("AMFACPose ResNet34 384x288", 0.766)]
    assert {row.table for row in rows} == {"amfacpose-table1-coco", "eba-prnetcc-table1-coco"}
    assert paper_rows("crowdpose")[0].metrics["APhard"] == 0.659
    assert paper_rows("pck") == ()


@pytest.mark.parametrize(
    ("recipe", "label", "ap"),
    [
        ("eba-prnetcc-r34-256x256", "EBA-PRNetCC ResNet-34 256x256", 0.743),
        ("eba-prnetcc-r18-256x256", "EBA-PRNetCC ResNet-18 256x256", 0.713),
        ("eba-prnetcc-r34-384x288-slp", "EBA-PRNetCC slp ResNet-34 384x288", 0.763),
        ("amfacpose-r34-384x288-baseline", "AMFACPose baseline", 0.724),
        ("amfacpose-r34-384x288-scrm", "AMFACPose afpn+dgcb+scrm", 0.754),
    ],
)
def test_every_printed_row_is_marked_for_its_recipe(recipe: str, label: str, ap: float) -> None:
    own = [row for row in paper_rows("coco", load_recipe(recipe)) if row.is_this_model]
    assert [(row.label, row.metrics["AP"]) for row in own] == [(label, ap)]
    assert ("contradicts Table 2" in own[0].note) == (recipe == "eba-prnetcc-r34-256x256")


def test_predictions_have_a_length() -> None:
    nobody = Predictions(np.zeros(0, np.int64), np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0), np.zeros((0, 4)))
    assert len(nobody) == 0


def test_the_mean_pose_on_real_people(shared_data: Path) -> None:
    """The recorded baseline: the mean training pose in the box has .121 PCK@0.1 over the twelve body joints."""
    train = load_people(shared_data / "lspet" / "lspet_train.json")
    people = load_people(shared_data / "lspet" / "lspet_val.json")
    sides = train.boxes[:, None, 2:] - train.boxes[:, None, :2]
    relative = (train.keypoints[:, :, :2] - train.boxes[:, None, :2]) / sides
    labelled = train.keypoints[:, :, 2:] > 0
    mean = np.where(labelled, relative, 0).sum(axis=0) / labelled.sum(axis=0)
    points = people.boxes[:, None, :2] + mean * (people.boxes[:, None, 2:] - people.boxes[:, None, :2])
    found = Predictions(people.image_ids, points, np.ones(points.shape[:2]), np.ones(len(people)), people.boxes)
    assert score_people(people, found, "pck").metrics["PCKbody"] == pytest.approx(0.121, abs=0.01)
