"""pycocotools, the reference evaluator of COCO, for COCO and CrowdPose. The only module that sees it.

CrowdPose's official evaluator is a copy of it with other constants: its sigmas, area = box area x 0.53, one range of
areas. Given those, the original computes the same; its matches per picture also feed the bootstrap.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.accuracy.similarity import CROWDPOSE_AREA, require_sigmas
from amfac_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.keypoints import Skeleton

__all__ = ["COCO_METRICS", "Matches", "coco_metrics", "matched_people", "require_evaluator"]

COCO_METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
"""What `coco_metrics` gives; CrowdPose has neither m nor l."""

_MOST_PEOPLE = 20
_PERSON = 1
_EVERY_AREA = (0.0, 1e10)
_THRESHOLDS = {"50": 0, "75": 5}
_AREAS = {"m": 1, "l": 2}


@dataclass(frozen=True, eq=False)
class Matches:
    """What the evaluator matched: D predictions of I pictures, at T = 10 thresholds of OKS (0.5 to 0.95), A areas.

    Attributes:
        images: (I,) the pictures' ids, sorted.
        pictures: (D,) the index in `images` of each prediction's picture.
        order: (D,) the predictions from the surest to the least sure.
        hits: (A, T, D) bool: right.
        misses: (A, T, D) bool: wrong. What is neither doesn't count (groups, people of another size).
        people: (A, I) how many people were to be found.
        areas: the names of the A areas: "", and for COCO "m" and "l".
    """

    images: NDArray[np.int64]
    pictures: NDArray[np.intp]
    order: NDArray[np.intp]
    hits: NDArray[np.bool_]
    misses: NDArray[np.bool_]
    people: NDArray[np.int64]
    areas: tuple[str, ...]


def require_evaluator(skeleton: Skeleton) -> None:
    """Refuse, before any work, what `coco_metrics` would refuse after it.

    Raises:
        InputError: a skeleton without OKS sigmas.
        MissingExtraError: pycocotools is not installed.
    """
    _pycocotools()
    require_sigmas(skeleton)


def coco_metrics(people: PeopleSet, predictions: Predictions, *, crowdpose: bool = False) -> dict[str, float]:
    """The evaluator's figures.

    Args:
        people: the ground truth; a person counts where its stored `num_keypoints` is above 0 and it is no group.
        predictions: at most 20 a picture count, the surest.
        crowdpose: with CrowdPose's constants.

    Returns:
        `COCO_METRICS` as fractions (those of CrowdPose without m and l); -1 where there is nobody to be found.

    Raises:
        InputError: a skeleton without OKS sigmas.
        MissingExtraError: pycocotools is not installed.
    """
    evaluation = _evaluated(people, predictions, crowdpose=crowdpose)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"][:, :, 0, :, 0], evaluation.eval["recall"][:, 0, :, 0]
    figures = {"AP": _mean(precision[:, :, 0]), "AR": _mean(recall[:, 0])}
    for name, threshold in _THRESHOLDS.items():
        figures |= {f"AP{name}": _mean(precision[threshold, :, 0]), f"AR{name}": _mean(recall[threshold, 0])}
    for name, area in () if crowdpose else _AREAS.items():
        figures |= {f"AP{name}": _mean(precision[:, :, area]), f"AR{name}": _mean(recall[:, area])}
    return {name: figures[name] for name in COCO_METRICS if name in figures}


def matched_people(people: PeopleSet, predictions: Predictions, *, crowdpose: bool = False) -> Matches:
    """The evaluator's matches, as arrays that can be resampled; see `coco_metrics`."""
    evaluation = _evaluated(people, predictions, crowdpose=crowdpose)
    images = np.array(evaluation.params.imgIds, np.int64)
    areas = len(evaluation.params.areaRng)
    table = np.array(evaluation.evalImgs, dtype=object).reshape(areas, len(images))
    rows = [place for place in range(len(images)) if table[0, place] is not None]
    found = [[table[area, place] for place in rows] for area in range(areas)]
    scores = np.concatenate([np.zeros(0), *(row["dtScores"] for row in found[0])])
    counts = [len(row["dtScores"]) for row in found[0]]
    matched = np.stack([_joined(row, "dtMatches") for row in found]) > 0
    ignored = np.stack([_joined(row, "dtIgnore") for row in found]) > 0
    people_here = np.zeros((areas, len(images)), np.int64)
    for area, row in enumerate(found):
        people_here[area, rows] = [np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0) for entry in row]
    return Matches(
        images=images,
        pictures=np.repeat(np.array(rows, np.intp), counts),
        order=np.argsort(-scores, kind="stable"),
        hits=matched & ~ignored,
        misses=~matched & ~ignored,
        people=people_here,
        areas=("",) if crowdpose else ("", *_AREAS),
    )


def _joined(rows: list[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    empty = np.zeros((10, 0))
    return np.concatenate([empty, *(np.asarray(row[key], np.float64) for row in rows)], axis=1)


def _mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


def _evaluated(people: PeopleSet, predictions: Predictions, *, crowdpose: bool) -> Any:  # noqa: ANN401 - untyped library
    coco, evaluator = _pycocotools()
    extents = people.boxes[:, 2:] - people.boxes[:, :2]
    areas = extents.prod(axis=1) * CROWDPOSE_AREA if crowdpose else people.areas
    require_sigmas(people.skeleton)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _indexed(coco, people, _annotations(people, areas))
        results = _results(predictions)
        found = truth.loadRes(results) if results else _indexed(coco, people, [])
        evaluation = evaluator(truth, found, "keypoints")
        parameters = evaluation.params
        parameters.kpt_oks_sigmas = np.array(people.skeleton.sigmas)
        parameters.maxDets = [_MOST_PEOPLE]
        if crowdpose:
            parameters.areaRng, parameters.areaRngLbl = [list(_EVERY_AREA)], ["all"]
        evaluation.evaluate()
    return evaluation


def _indexed(coco: Any, people: PeopleSet, annotations: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    index = coco()
    index.dataset = {
        "info": {},
        "images": [{"id": number} for number in people.images],
        "annotations": annotations,
        "categories": [{"id": _PERSON, "name": "person"}],
    }
    index.createIndex()
    return index


def _annotations(people: PeopleSet, areas: NDArray[np.float64]) -> list[dict[str, Any]]:
    boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], axis=1)
    return [
        {
            # Numbered from 1: the evaluator takes a match with an annotation 0 for none.
            "id": index + 1,
            "image_id": int(people.image_ids[index]),
            "category_id": _PERSON,
            "bbox": boxes[index].tolist(),
            "area": float(areas[index]),
            "iscrowd": int(people.iscrowd[index]),
            "num_keypoints": int(people.keypoint_counts[index]),
            "keypoints": people.keypoints[index].reshape(-1).tolist(),
        }
        for index in range(len(people))
    ]


def _results(predictions: Predictions) -> list[dict[str, Any]]:
    triples = np.concatenate([predictions.keypoints, predictions.joint_scores[:, :, None]], axis=2)
    return [
        {
            "image_id": int(predictions.image_ids[index]),
            "category_id": _PERSON,
            "keypoints": triples[index].reshape(-1).tolist(),
            "score": float(predictions.scores[index]),
        }
        for index in range(len(predictions))
    ]


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError.of("pycocotools", "eval", use="scoring by OKS") from error
    return COCO, COCOeval
