"""The score of a network on held-out people while it is trained, each process looking at its part of the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy import (
    LogitsPredictor,
    Predictions,
    ground_truth_boxes,
    predict_people,
    protocol_of,
    score_people,
)
from amfac_edge.accuracy.predicting import nobody_found
from amfac_edge.errors import AmfacError
from amfac_edge.networks.running import network_logits

if TYPE_CHECKING:
    from torch import nn

    from amfac_edge.accuracy import Protocol
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.training.processes import Processes

__all__ = ["held_out_score"]


def held_out_score(
    network: nn.Module,
    recipe: Recipe,
    people: PeopleSet,
    processes: Processes,
    *,
    protocol: Protocol | None = None,
    on_fault: OnFault = "refuse",
) -> dict[str, float]:
    """Score with annotated boxes, without flip averaging: the same figures, whatever the number of processes.

    Args:
        network: in eval mode; must be the same on every rank.
        recipe: of the network.
        people: held out.
        processes: those that share the work.
        protocol: of `score_people`.
        on_fault: "skip" leaves out pictures that can't be read.

    Returns:
        The protocol's figures, and PCK at 0.1 beside them; without those that there is nobody for.

    Raises:
        InputError, FrameError: as `predict_people` and `score_people`; on every rank, whosever part it was.
    """
    boxes = ground_truth_boxes(people)
    images = list(dict.fromkeys(boxes.image_ids.tolist()))
    mine = np.isin(boxes.image_ids, images[processes.rank :: processes.count])
    found, fault = None, None
    unread: dict[int, str] = {}
    if mine.any():
        here = boxes.chosen(mine)
        predictor = LogitsPredictor(recipe, network_logits(network))
        try:
            result = predict_people(predictor, people, here, on_fault=on_fault, may_find_none=True)
            found, unread = result.predictions, result.unread
        except AmfacError as error:
            # The other ranks wait in `gather`: they are told.
            fault = error
    parts = processes.gather((found, unread, fault))
    for _, _, told in parts:
        if told is not None:
            raise told
    if not any(part for part, _, _ in parts):
        raise nobody_found(people)
    left_out = {image for _, missing, _ in parts for image in missing}
    seen = people.of_images(people.images.keys() - left_out) if left_out else people
    predictions = _in_order([part for part, _, _ in parts if part is not None], images)
    scores = [score_people(seen, predictions, each) for each in dict.fromkeys((protocol or protocol_of(seen), "pck"))]
    figures = {name: value for score in scores for name, value in score.metrics.items()}
    return {name: value for name, value in figures.items() if value is not None and value >= 0}


def _in_order(parts: list[Predictions], images: list[int]) -> Predictions:
    """As one process would have found them: the scorer takes predictions of equal score in their order."""
    joined = Predictions(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("image_ids", "keypoints", "joint_scores", "scores", "boxes")
        )
    )
    places = {image: place for place, image in enumerate(images)}
    return joined.chosen(np.argsort([places[image] for image in joined.image_ids.tolist()], kind="stable"))
