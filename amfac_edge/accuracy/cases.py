"""The worst and the best cases of a score, as pictures: the truth on the left, what was found on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.similarity import CROWDPOSE_AREA, found_people, oks_scales
from amfac_edge.drawing import contact_sheet, draw_poses
from amfac_edge.errors import FrameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.accuracy.scoring import Protocol
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.keypoints import Bgr

__all__ = ["case_sheet", "person_values"]

_COLUMNS = 6
_CELL = (200, 300)
_MARGIN = 0.35
_PCK = 0.1


def person_values(
    people: PeopleSet, predictions: Predictions, protocol: Protocol
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """How well each person was found.

    Returns:
        (N,) the prediction that found each person, -1 for none, and (N,) their OKS; for "pck" the same measure with a
        tenth of the box's longer side at every joint.
    """
    extents = people.boxes[:, 2:] - people.boxes[:, :2]
    if protocol == "pck":
        scales = np.repeat(_PCK * extents.max(axis=1)[:, None], len(people.skeleton.joints), axis=1)
    else:
        areas = extents.prod(axis=1) * CROWDPOSE_AREA if protocol == "crowdpose" else people.areas
        scales = oks_scales(areas, people.skeleton)
    return found_people(people, predictions, scales)


def case_sheet(people: PeopleSet, predictions: Predictions, protocol: Protocol, each: int = 12) -> Bgr:
    """The `each` worst and the `each` best people on one picture; each cell shows truth and prediction.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        FrameError: none of their pictures could be read.
    """
    finder, values = person_values(people, predictions, protocol)
    order = np.flatnonzero(people.labelled)
    order = order[np.argsort(values[order], kind="stable")]
    worst, best = order[:each], order[max(each, len(order) - each) :][::-1]
    cells, titles = [], []
    for name, indices in (("worst", worst), ("best", best)):
        for index in indices.tolist():
            try:
                picture = people.read_image(int(people.image_ids[index]))
            except FrameError:
                continue
            cells.append(_cell(picture, people, predictions, index, int(finder[index])))
            found = f"{values[index]:.3f}" if finder[index] >= 0 else "not found"
            titles.append(f"{name} {found}  image {people.image_ids[index]}")
    if not cells:
        raise FrameError(f"{people.name}: no picture of a case could be read", cure="Check --images.")
    return contact_sheet(cells, _COLUMNS, _CELL, titles)


def _cell(picture: Bgr, people: PeopleSet, predictions: Predictions, person: int, finder: int) -> Bgr:
    box, truth = people.boxes[person], people.keypoints[person]
    margin = _MARGIN * (box[2:] - box[:2]).max()
    limits = np.array([picture.shape[1], picture.shape[0]])
    low = np.clip(np.floor(box[:2] - margin), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(box[2:] + margin), low + 1, limits).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    shift = low.astype(np.float64)
    halves = [_posed(part, truth[:, :2] - shift, (truth[:, 2] > 0).astype(np.float64), people)]
    if finder >= 0:
        points = predictions.keypoints[finder] - shift
        halves.append(_posed(part, points, np.ones(len(points)), people))
    else:
        halves.append(part)
    return np.concatenate(
        [halves[0], np.full((len(part), max(2, part.shape[1] // 60), 3), 255, np.uint8), halves[1]], 1
    )


def _posed(part: Bgr, points: NDArray[np.float64], scores: NDArray[np.float64], people: PeopleSet) -> Bgr:
    height, width = part.shape[:2]
    frame = np.array([[0, 0, width - 1, height - 1]], np.float64)
    return draw_poses(part, points[None], scores[None], frame, people.skeleton, min_score=0.5)
