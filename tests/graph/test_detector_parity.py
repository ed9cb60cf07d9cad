"""The gate of a detector: what it lets through, and what it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.artefact import DetectorFacts
from amfac_edge.errors import GateError, ModelFileError
from amfac_edge.graph.detector_heads import cells
from amfac_edge.graph.detector_parity import (
    People,
    check_decoding,
    check_detector_parity,
    compare_detectors,
    detector_budget,
)
from amfac_edge.keypoints import suppressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.graph.detector_parity import DetectorParity

    Arrays = tuple[NDArray[np.float64], NDArray[np.float64]]

FACTS = DetectorFacts(
    name="made", family="rtmdet", height=64, width=96, candidates=126, class_index=0, class_name="person", classes=1,
    score_threshold=0.25, iou_threshold=0.5,
)  # fmt: skip


def candidates(pictures: int = 3, seed: int = 0) -> Arrays:
    """Boxes of four strides around their cells, and scores of all sizes."""
    random = np.random.default_rng(seed)
    grid = cells(64, 96)
    sides = random.uniform(1, 3, (pictures, 126, 4)) * grid[:, 2:]
    middles = grid[:, :2] + grid[:, 2:] / 2
    boxes = np.concatenate([middles - sides[..., :2], middles + sides[..., 2:]], axis=-1)
    return boxes, random.uniform(0, 1, (pictures, 126)) ** 2


def compared(change: Callable[[Arrays], Arrays], precision: str = "fp32") -> DetectorParity:
    reference = candidates()
    return compare_detectors(FACTS, reference, change(candidates()), precision=precision)


def test_the_same_holds() -> None:
    parity = compared(lambda found: found)
    check_detector_parity(parity, name="x")
    assert (parity.box_error, parity.score_error, parity.lost, parity.images) == (0, 0, 0, 3)
    assert parity.people > 10
    assert parity.as_json()["people"] == parity.people


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda found: (found[0] + 0.06, found[1]), r"boxes by 6\.\de-04"),
        (lambda found: (found[0], found[1] + 0.002), r"scores by 2\.0e-03"),
        (lambda found: (found[0] * np.nan, found[1]), "boxes by nan"),
        (lambda found: (found[0], found[1] * np.nan), "scores by nan"),
        (lambda found: (found[0][:, ::-1], found[1][:, ::-1]), "boxes by"),
    ],
    ids=["boxes", "scores", "no boxes", "no scores", "another order"],
)
def test_what_is_over_budget_is_stopped(change: Callable[[Arrays], Arrays], problem: str) -> None:
    with pytest.raises(GateError, match=problem):
        check_detector_parity(compared(change), name="x")


def test_what_is_within_budget_is_not() -> None:
    random = np.random.default_rng(1)
    noise = random.uniform(-1, 1, (3, 126, 4)) * 0.03  # of 96 pixels: 3e-4
    check_detector_parity(compared(lambda found: (found[0] + noise, found[1] + noise[..., 0] * 0.02)), name="x")


def test_the_networks_own_people_are_held_against_ours() -> None:
    boxes, scores = candidates()
    kept = [suppressed(*one, score_threshold=0.25, iou_threshold=0.5) for one in zip(boxes, scores, strict=True)]
    people = [People(box[one], score[one]) for box, score, one in zip(boxes, scores, kept, strict=True)]
    assert compare_detectors(FACTS, (boxes, scores), (boxes, scores), people).lost == 0
    # Another threshold of overlap in the network's own suppression leaves others.
    kept = [suppressed(*one, score_threshold=0.25, iou_threshold=0.7) for one in zip(boxes, scores, strict=True)]
    others = [People(box[one], score[one]) for box, score, one in zip(boxes, scores, kept, strict=True)]
    parity = compare_detectors(FACTS, (boxes, scores), (boxes, scores), others)
    assert parity.lost > 0
    with pytest.raises(GateError, match=rf"{parity.lost} people found by one of both alone"):
        check_detector_parity(parity, name="x")


def test_a_network_that_stops_after_so_many() -> None:
    boxes, scores = candidates(1)
    kept = suppressed(boxes[0], scores[0], score_threshold=0.25, iou_threshold=0.5, most=5)
    cut = People(boxes[0][kept], scores[0][kept], is_cut=True)
    assert compare_detectors(FACTS, (boxes, scores), (boxes, scores), [cut]).lost == 0
    whole = People(boxes[0][kept], scores[0][kept])
    assert compare_detectors(FACTS, (boxes, scores), (boxes, scores), [whole]).lost > 0


def test_an_overlap_at_the_very_threshold_is_for_rounding_to_decide() -> None:
    boxes, scores = np.zeros((1, 126, 4)), np.zeros((1, 126))
    boxes[0, :2] = [[0, 0, 10, 10], [0, 0, 10, 5]]  # overlap 0.5
    scores[0, :2] = [0.9, 0.8]
    nudged = boxes.copy()
    nudged[0, 1, 3] += 1e-4  # now more than 0.5: the second one goes
    assert len(suppressed(nudged[0], scores[0], score_threshold=0.25, iou_threshold=0.5)) == 1
    assert compare_detectors(FACTS, (boxes, scores), (nudged, scores)).lost == 0


def test_a_few_boxes_that_are_no_numbers_are_no_rounding() -> None:
    """In float16 some boxes may be off; sorted behind all others they would not be seen."""

    def broken(found: Arrays) -> Arrays:
        found[0][0, [0, 1]] = np.nan  # two of 378 candidates, nobody's
        found[1][0, [0, 1]] = 0.0
        return found

    assert not compared(broken, "fp16").holds


def test_float16_is_held_to_what_is_seen() -> None:
    budget = detector_budget("fp16", FACTS)
    random = np.random.default_rng(2)

    def moved(found: Arrays) -> Arrays:
        boxes = found[0] + random.uniform(-0.5, 0.5, found[0].shape)
        boxes[0, 0] += 30  # one of 378 candidates
        return boxes, found[1] + random.uniform(-0.02, 0.02, found[1].shape)

    parity = compared(moved, "fp16")
    assert parity.box_error <= budget.boxes
    with pytest.raises(GateError):
        check_detector_parity(compared(lambda found: (found[0] + 3, found[1]), "fp16"), name="x")


def test_a_sound_decoding_passes() -> None:
    check_decoding(candidates(), FACTS, where="x")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda boxes, scores: (boxes * 8, scores), "cells away"),
        (lambda boxes, scores: (boxes[:, ::-1], scores), "cells away"),
        (lambda boxes, scores: (boxes / 64, scores), "cells away"),
        (lambda boxes, scores: (boxes, scores * 4 - 2), "scores reach from -2 to"),
        (lambda boxes, scores: (boxes, scores + np.inf), "not all finite"),
    ],
    ids=["twice", "reversed", "not at all", "logits", "infinite"],
)
def test_a_mistaken_decoding_doesnt(change: Callable[..., Arrays], problem: str) -> None:
    with pytest.raises(ModelFileError, match=problem):
        check_decoding(change(*candidates()), FACTS, where="x")
