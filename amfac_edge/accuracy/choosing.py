"""Who is shown: chosen by the annotations alone, never by how well a model did, and spread over what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.similarity import by_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet

__all__ = ["shown_people", "shown_pictures", "spread"]

_LARGE = 0.25
_VISIBLE = 2


def shown_pictures(people: PeopleSet, count: int, seed: int) -> list[int]:
    """Pictures with people, from those with one person to the fullest.

    Pictures whose largest person is at least a quarter of the shorter side long come first; all others are looked at
    only where there are too few of them.

    Returns:
        Ids, `count` of them, fewer where the set has fewer.
    """
    groups = by_image(people.image_ids[people.labelled])
    large = set(people.image_ids[people.labelled & _is_large(people)].tolist())
    ids = np.array([image for image in groups if image in large], np.int64)
    if len(ids) < count:
        ids = np.array(list(groups), np.int64)
    fullness = np.array([len(groups[image]) for image in ids.tolist()])
    return ids[spread(fullness, count, seed)].tolist()


def shown_people(people: PeopleSet, count: int, seed: int) -> NDArray[np.intp]:
    """People from those with the most joints that are not visible to those with none, half of the joints at most.

    People that are at least a quarter of their picture's shorter side long come first, as in `shown_pictures`.

    Returns:
        (M,) their indices, M = `count`, fewer where the set has fewer.
    """
    unseen = (people.keypoints[:, :, 2] < _VISIBLE).sum(axis=1)
    mostly = people.labelled & (unseen <= len(people.skeleton.joints) / 2)
    candidates = np.flatnonzero(mostly & _is_large(people))
    if len(candidates) < count:
        candidates = np.flatnonzero(people.labelled)
    return candidates[spread(-unseen[candidates], count, seed)]


def spread(values: NDArray[np.integer], count: int, seed: int) -> NDArray[np.intp]:
    """One index from each of `count` equal parts of the values in rising order, drawn by the seed.

    Args:
        values: (M,).
        count: how many, from 1 on.
        seed: from 0 on.

    Returns:
        (min(`count`, M),) indices, their values rising.
    """
    order = np.argsort(values, kind="stable")
    random = np.random.default_rng(seed)
    return np.array([random.choice(part) for part in np.array_split(order, count) if len(part)], np.intp)


def _is_large(people: PeopleSet) -> NDArray[np.bool_]:
    shorter = np.array([min(people.images[image].height, people.images[image].width) for image in people.image_ids])
    return (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1, initial=0) >= _LARGE * shorter
