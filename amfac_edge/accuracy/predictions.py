"""Predicted people: M of them, K joints, and the COCO results list that they are saved in."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import InputError
from amfac_edge.files import file_bytes, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet

__all__ = ["Boxes", "Predictions", "ground_truth_boxes", "load_boxes", "load_predictions", "save_predictions"]

_SIZE_LIMIT = 1 << 30
_FARTHEST = 1e6
_SMALLEST = 1e-3
_MAX_SHOWN = 60
_PERSON = 1
_NUMBERS = (int, float)
_CURE = "Mend or drop that one, counted from 0."


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about a data set.

    Attributes:
        image_ids: (M,) int64.
        keypoints: (M, K, 2) float64, x and y in picture pixels.
        joint_scores: (M, K) float64.
        scores: (M,) float64, of the persons.
        boxes: (M, 4) float64 xyxy, those that the joints were looked for in; NaN where a file doesn't say.
    """

    image_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    joint_scores: NDArray[np.float64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]

    def __len__(self) -> int:
        """M."""
        return len(self.scores)

    def chosen(self, people: NDArray[np.bool_] | NDArray[np.integer]) -> Predictions:
        """These people only.

        Args:
            people: (M,) bool, or indices of any number, (L,).
        """
        return Predictions(
            self.image_ids[people],
            self.keypoints[people],
            self.joint_scores[people],
            self.scores[people],
            self.boxes[people],
        )


@dataclass(frozen=True, eq=False)
class Boxes:
    """Where people are looked for.

    Attributes:
        source: "ground truth", or the name of a detector's file.
        image_ids: (M,) int64.
        boxes: (M, 4) float64 xyxy in picture pixels.
        scores: (M,) float64 of the detector, 1 for boxes that somebody drew.
        is_ground_truth: whether somebody drew them.
    """

    source: str
    image_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    is_ground_truth: bool = False

    def chosen(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Boxes:
        """These only.

        Args:
            rows: (M,) bool, or indices.
        """
        return replace(self, image_ids=self.image_ids[rows], boxes=self.boxes[rows], scores=self.scores[rows])


def ground_truth_boxes(people: PeopleSet) -> Boxes:
    """The boxes of the people that can be scored: labelled joints, no groups."""
    found = people.chosen(people.labelled)
    return Boxes("ground truth", found.image_ids, found.boxes, np.ones(len(found)), is_ground_truth=True)


def load_boxes(path: Path, people: PeopleSet) -> Boxes:
    """A detector's boxes: a COCO results list with `image_id`, `bbox` (x, y, width, height) and `score`.

    Entries of other categories than 1 (person) are left out.

    Raises:
        InputError: not such a list, an entry that can't be used, or of a picture that is not in the data.
    """
    rows = []
    for index, entry in _entries(path):
        if entry.get("category_id", _PERSON) == _PERSON:
            image = _image_id(entry, index, path, people)
            rows.append((image, *_box(entry.get("bbox"), index, path), _score(entry, index, path)))
    if not rows:
        raise InputError(f"{path}: has no boxes of people", cure="Give boxes with the category_id 1.")
    table = np.array([row[1:] for row in rows], np.float64)
    return Boxes(path.name, np.array([row[0] for row in rows], np.int64), table[:, :4], table[:, 4])


def load_predictions(path: Path, people: PeopleSet) -> Predictions:
    """A COCO results list of keypoints: `image_id`, `keypoints` (x, y, score for each joint), `score`, perhaps `bbox`.

    Args:
        path: of the JSON file, at most 1 GiB.
        people: what it is to be scored against.

    Raises:
        InputError: not such a list, an entry that can't be used, two with one id, a picture that is not in the data, or
            another number of joints.
    """
    joints = len(people.skeleton.joints)
    images, scores, boxes, rows = [], [], [], []
    ids: set[int] = set()
    for index, entry in _entries(path):
        if entry.get("category_id", _PERSON) != _PERSON:
            continue
        images.append(_image_id(entry, index, path, people))
        rows.append(_keypoints(entry.get("keypoints"), joints, index, path))
        scores.append(_score(entry, index, path))
        boxes.append(_box(entry["bbox"], index, path) if "bbox" in entry else (np.nan,) * 4)
        number = entry.get("id")
        if isinstance(number, int) and number in ids:
            raise InputError(f"{path}: entry {index}: its id {number} was there before", cure=_CURE)
        ids.add(number) if isinstance(number, int) else None
    table = np.array(rows, np.float64).reshape(len(rows), joints, 3)
    return Predictions(
        image_ids=np.array(images, np.int64),
        keypoints=table[:, :, :2],
        joint_scores=table[:, :, 2],
        scores=np.array(scores, np.float64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
    )


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write a COCO results list that any COCO evaluator reads and that scores exactly as `predictions` do; atomic."""
    triples = np.concatenate([predictions.keypoints, predictions.joint_scores[:, :, None]], axis=2)
    rows = []
    for index, (image, score) in enumerate(
        zip(predictions.image_ids.tolist(), predictions.scores.tolist(), strict=True)
    ):
        entry = {"image_id": image, "category_id": _PERSON, "score": score}
        entry["keypoints"] = triples[index].reshape(-1).tolist()
        x1, y1, x2, y2 = predictions.boxes[index].tolist()
        if np.isfinite(predictions.boxes[index]).all():
            entry["bbox"] = [x1, y1, x2 - x1, y2 - y1]
        rows.append(json.dumps(entry, allow_nan=False))
    write_bytes(path, ("[\n" + ",\n".join(rows) + "\n]\n").encode())


def _entries(path: Path) -> list[tuple[int, dict[str, Any]]]:
    form = 'a COCO results list: [{"image_id": 139, "category_id": 1, ..., "score": 0.9}, ...]'
    try:
        data = json.loads(file_bytes(path, limit=_SIZE_LIMIT, what="results file"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}", cure=f"Give {form}.") from error
    if not isinstance(data, list):
        raise InputError(f"{path}: holds {_shown(data)}", cure=f"Give {form}.")
    for index, entry in enumerate(data):
        if not isinstance(entry, dict):
            raise InputError(f"{path}: entry {index} is {_shown(entry)}, not an object", cure=_CURE)
    return list(enumerate(data))


def _image_id(entry: dict[str, Any], index: int, path: Path, people: PeopleSet) -> int:
    image = entry.get("image_id")
    if not isinstance(image, int) or isinstance(image, bool):
        raise InputError(f"{path}: entry {index}: image_id: expected a whole number, got {_shown(image)}", cure=_CURE)
    if image not in people.images:
        raise InputError(
            f"{path}: entry {index}: its image_id {image} is none of the {len(people.images):,} pictures of "
            f"{people.name}",
            cure="Give results of this very data set; a picture that was left out as faulty is not in it either.",
        )
    return image


def _keypoints(values: object, joints: int, index: int, path: Path) -> list[float]:
    if not isinstance(values, list) or len(values) != 3 * joints:
        amount = f"{len(values)} numbers" if isinstance(values, list) else _shown(values)
        raise InputError(
            f"{path}: entry {index}: keypoints: expected {3 * joints} numbers for the {joints} joints of the data, "
            f"got {amount}",
            cure="Give results of a model with the data's skeleton.",
        )
    if not all(type(value) in _NUMBERS and -_FARTHEST <= value <= _FARTHEST for value in values):
        raise InputError(f"{path}: entry {index}: keypoints: not all are finite numbers below a million", cure=_CURE)
    return values


def _score(entry: dict[str, Any], index: int, path: Path) -> float:
    score = entry.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool) or not -_FARTHEST <= score <= _FARTHEST:
        raise InputError(f"{path}: entry {index}: score: expected a finite number, got {_shown(score)}", cure=_CURE)
    return float(score)


def _box(box: object, index: int, path: Path) -> tuple[float, float, float, float]:
    good = isinstance(box, list) and len(box) == 4 and all(type(value) in _NUMBERS for value in box)  # noqa: PLR2004
    x, y, width, height = box if isinstance(box, list) and good else (np.nan,) * 4
    if not (
        abs(x) <= _FARTHEST
        and abs(y) <= _FARTHEST
        and _SMALLEST <= width <= _FARTHEST
        and _SMALLEST <= height <= _FARTHEST
    ):
        raise InputError(
            f"{path}: entry {index}: bbox: expected [x, y, width, height] with an area, got {_shown(box)}", cure=_CURE
        )
    return float(x), float(y), float(x + width), float(y + height)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
