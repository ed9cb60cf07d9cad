"""Predicted poses on whole pictures, as a grid: the qualitative figures of both papers (8 of AMFACPose, 6 of EBA)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.choosing import shown_pictures
from amfac_edge.accuracy.similarity import by_image
from amfac_edge.drawing import draw_poses, justified_places, with_caption
from amfac_edge.errors import FrameError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.accuracy.predictions import Predictions
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.keypoints import Bgr

__all__ = ["pose_grid"]

_PAPER = 40
_WIDTH = 460
_LEAST = 0.25
_SHOWN_IDS = 24


def pose_grid(people: PeopleSet, predictions: Predictions, *, count: int = 12, seed: int = 0, source: str = "") -> Bgr:
    """What was predicted in `count` pictures, all people of a picture, without any of the truth.

    The pictures are those of `shown_pictures`: chosen by the annotations, never by the score. A person is drawn whose
    score is at least a quarter of what a picture's best one has (the median of the pictures), a joint likewise among
    joints; scores of SimCC networks have no scale of their own.

    Args:
        people: with their pictures.
        predictions: of the set.
        count: pictures at most, from 1 on.
        seed: of the choice.
        source: what made the predictions, for the caption; ASCII.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        FrameError: a picture can't be read, or nobody is annotated.
    """
    chosen = shown_pictures(people, count, seed)
    if not chosen:
        raise FrameError(f"{people.name}: has no picture with labelled people", cure="Give data with annotated people.")
    pictures = [people.read_image(image) for image in chosen]
    columns = int(np.ceil(np.sqrt(len(pictures))))
    width = columns * _WIDTH
    shapes = [picture.shape[1] / picture.shape[0] for picture in pictures]
    places = justified_places([picture.shape[:2] for picture in pictures], width, round(_WIDTH / np.mean(shapes)))
    here = by_image(predictions.image_ids)
    least = _usual_best(predictions.scores, here), _usual_best(predictions.joint_scores.max(axis=1, initial=0), here)
    sheet = np.full((max(top + height for top, _, height, _ in places), width, 3), _PAPER, np.uint8)
    for image, picture, (top, left, tall, wide) in zip(chosen, pictures, places, strict=True):
        found = predictions.chosen(here.get(image, np.empty(0, np.intp)))
        shown = found.chosen(found.scores >= _LEAST * least[0])
        sheet[top : top + tall, left : left + wide] = _posed(picture, shown, people, (tall, wide), _LEAST * least[1])
    return with_caption(sheet, _caption(people, chosen, source, least))


def _usual_best(scores: NDArray[np.float64], here: dict[int, NDArray[np.intp]]) -> float:
    """The median over the pictures of the highest score in each."""
    return float(np.median([scores[each].max() for each in here.values()])) if here else 0.0


def _posed(picture: Bgr, found: Predictions, people: PeopleSet, size: tuple[int, int], least: float) -> Bgr:
    """The picture in the size that it is shown in, then the poses, so that lines are sharp and of one width."""
    cv2 = load_opencv("drawing")
    height, width = size
    scale = np.array([width / picture.shape[1], height / picture.shape[0]])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_CUBIC)
    points = (found.keypoints + 0.5) * scale - 0.5
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    return draw_poses(small, points, found.joint_scores, boxes, people.skeleton, min_score=least, outlined=False)


def _caption(people: PeopleSet, chosen: list[int], source: str, least: tuple[float, float]) -> str:
    with_people = len(np.unique(people.image_ids[people.labelled]))
    ids = " ".join(str(image) for image in chosen[:_SHOWN_IDS]) + (" ..." if len(chosen) > _SHOWN_IDS else "")
    person, joint = (f"{_LEAST * each:.2g}" for each in least)
    return (
        f"{source + ' on ' if source else ''}{people.name}: {len(chosen)} of {with_people} pictures with people, from "
        f"those with one person to the fullest, not chosen by score. People that score {person} or more, joints "
        f"{joint} or more. Left orange, right blue. Images {ids}."
    )
