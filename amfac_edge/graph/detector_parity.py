"""The parity gate of a detector: does the artefact find what the network as it came finds?

Two comparisons, on letterboxed pictures: boxes and scores of all candidates, and the people that are left of them after
suppression at the network's own thresholds. Letters: N pictures, A candidates, M people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import FP16
from amfac_edge.artefact.trial import Trial, upper_quantile
from amfac_edge.errors import GateError
from amfac_edge.graph.detector_heads import cells, not_this_family
from amfac_edge.keypoints import overlaps, suppressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts

    Candidates = tuple[NDArray[np.floating], NDArray[np.floating]]

__all__ = [
    "DetectorBudget",
    "DetectorParity",
    "People",
    "check_decoding",
    "check_detector_parity",
    "compare_detectors",
    "detector_budget",
    "detector_trial",
]

_FARTHEST_CENTRE = 3.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class People:
    """Who is left of a picture's candidates after suppression.

    Attributes:
        boxes: (M,4), the best first.
        scores: (M,).
        is_cut: whether there may be more, since only so many were asked for.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    is_cut: bool = False


@dataclass(frozen=True)
class DetectorBudget:
    """How far an artefact may be from its network.

    Attributes:
        boxes: largest difference of a coordinate, relative to the longer side of the input, or of the box if that is
            longer.
        held: part of all candidates that is held to it.
        scores: largest difference of a score.
        same_iou: overlap from which on two boxes are of the same person.
        people_from: score from which on a person must be found by both.
        lost_share: part of the people that only one of the two may find all the same.
    """

    boxes: float
    held: float
    scores: float
    same_iou: float
    people_from: float
    lost_share: float


@dataclass(frozen=True)
class DetectorParity:
    """What the comparison found.

    Attributes:
        budget: what it is held to.
        images: N.
        box_error: largest difference of a coordinate, of the candidates and relative as in `DetectorBudget`.
        score_error: largest difference of a score.
        people: M, whom the network as it came finds in all pictures, and both must find.
        lost: people whom only one of the two finds.
    """

    budget: DetectorBudget
    images: int
    box_error: float
    score_error: float
    people: int
    lost: int

    @property
    def holds(self) -> bool:
        """Whether everything is within budget; false for NaN."""
        return (
            self.box_error <= self.budget.boxes
            and self.score_error <= self.budget.scores
            and self.lost <= self.budget.lost_share * self.people
        )

    def as_json(self) -> dict[str, object]:
        """The evidence for the manifest."""
        return {
            "images": self.images,
            "box_error": self.box_error,
            "box_budget": self.budget.boxes,
            "box_share_held": self.budget.held,
            "score_error": self.score_error,
            "score_budget": self.budget.scores,
            "people": self.people,
            "people_from": self.budget.people_from,
            "lost": self.lost,
            "lost_share_budget": self.budget.lost_share,
        }


def detector_budget(precision: str, facts: DetectorFacts) -> DetectorBudget:
    """The budget of a detector in "fp32" or "fp16".

    FP32: rounding alone. A hundred sigmoids in a row, which ONNX Runtime approximates, come to 1e-4 and 2e-4 in
    RTMDet-nano on photographs, to a tenth of that without its optimisations; the budget is five times as much, a third
    of a pixel at 640. Everybody above the threshold counts, but for those who hang on two roundings at once.

    FP16: measured on 64 photographs with every result rounded, 99 of 100 candidates of RTMDet-nano and YOLOX-nano move
    by less than 0.012 of the side (most of the others are no people), scores by less than 0.05, and the average
    precision of both by less than 0.003. Which of two boxes of one person survives, rounding decides more often: they
    count as the same where the one would have suppressed the other. So 1 of 989 people was lost, and 0 of 290.
    """
    if precision == FP16:
        return DetectorBudget(
            boxes=0.02,
            held=0.99,
            scores=0.1,
            same_iou=facts.iou_threshold,
            people_from=max(0.15, facts.score_threshold),
            lost_share=0.02,
        )
    scores = 1e-3
    # Whoever is as near to the threshold as scores may differ may be on either side of it.
    return DetectorBudget(
        boxes=5e-4,
        held=1.0,
        scores=scores,
        same_iou=0.98,
        people_from=facts.score_threshold + scores,
        lost_share=0.005,
    )


def check_decoding(candidates: Candidates, facts: DetectorFacts, *, where: str) -> None:
    """Check that the reference is a detector's at all: that nothing in reading it was mistaken.

    Raises:
        ModelFileError: scores outside of 0..1, values that aren't finite, or boxes that mostly lie elsewhere than the
            cells that they belong to, as boxes do that were decoded twice, not at all, or in another order.
    """
    boxes, scores = candidates
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise not_this_family(where, facts.family, "its boxes or scores are not all finite")
    if scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
        raise not_this_family(
            where, facts.family, f"its scores reach from {scores.min():.3g} to {scores.max():.3g}, not from 0 to 1"
        )
    grid = cells(facts.height, facts.width)
    middles = grid[:, :2] + grid[:, 2:] / 2
    away = np.abs((boxes[..., :2] + boxes[..., 2:]) / 2 - middles).max(axis=-1) / grid[:, 2]
    if np.median(away) > _FARTHEST_CENTRE:
        raise not_this_family(
            where, facts.family, f"its boxes lie {np.median(away):.0f} cells away from those that they belong to"
        )


def compare_detectors(
    facts: DetectorFacts,
    reference: Candidates,
    found: Candidates,
    people: Sequence[People] | None = None,
    *,
    precision: str = "fp32",
) -> DetectorParity:
    """Compare the artefact with the network that it was made from, on the same pictures.

    Args:
        facts: of the detector.
        reference: boxes (N,A,4) and scores (N,A) of the person, of the network as it came.
        found: the same of the artefact.
        people: whom the network's own suppression leaves of each of the N pictures; None where it has none: then it is
            done here with what `facts` says.
        precision: of the artefact.
    """
    budget = detector_budget(precision, facts)
    boxes, expected = found[0].astype(np.float64), reference[0].astype(np.float64)
    longest = np.maximum(max(facts.height, facts.width), (expected[..., 2:] - expected[..., :2]).max(axis=-1))
    if people is None:
        people = [_people(facts, *picture) for picture in zip(*reference, strict=True)]
    lost = sum(
        _lost(facts, budget, of_network, picture)
        for of_network, picture in zip(people, zip(*found, strict=True), strict=True)
    )
    return DetectorParity(
        budget=budget,
        images=len(boxes),
        box_error=upper_quantile(np.abs(boxes - expected).max(axis=-1) / longest, budget.held),
        score_error=float(np.abs(found[1] - reference[1]).max()),
        people=sum(int((picture.scores > budget.people_from).sum()) for picture in people),
        lost=lost,
    )


def detector_trial(facts: DetectorFacts, images: NDArray[np.uint8], reference: Candidates) -> Trial:
    """What a plan is tried with where it is built, in either precision: the budget of FP16, since GPUs have TF32.

    Args:
        facts: of the detector.
        images: (N,H,W,3) uint8 BGR, letterboxed.
        reference: boxes (N,A,4) and scores (N,A) of the network as it came.
    """
    budget = detector_budget(FP16, facts)
    boxes, scores = (values.astype(np.float32) for values in reference)
    # Each of a box's four sides may be off by the budget.
    shift_px = 2 * budget.boxes * max(facts.height, facts.width)
    return Trial(images, boxes, scores, np.ones(scores.shape, np.bool_), shift_px, 1 - budget.held)


def check_detector_parity(parity: DetectorParity, *, name: str) -> None:
    """Raise unless `parity` holds.

    Raises:
        GateError: what was found, and the budgets.
    """
    if parity.holds:
        return
    budget = parity.budget
    raise GateError(
        f"{name}: the artefact differs from the network: boxes by {parity.box_error:.1e} of the input's side (budget "
        f"{budget.boxes:g}), scores by {parity.score_error:.1e} (budget {budget.scores:g}), {parity.lost} people found "
        f"by one of both alone, {parity.people} by the network",
        cure="Nothing was written. Check the weights (amfac-info FILE); report it if they are sound.",
    )


def _people(
    facts: DetectorFacts,
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    *,
    shift: float = 0.0,
    most: int | None = None,
) -> People:
    """Whom suppression leaves of (A,4), (A,), at most `most`, with its threshold of overlap moved by `shift`."""
    kept = suppressed(
        boxes, scores, score_threshold=facts.score_threshold, iou_threshold=facts.iou_threshold + shift, most=most
    )
    return People(boxes[kept], scores[kept])


def _lost(facts: DetectorFacts, budget: DetectorBudget, network: People, candidates: Candidates) -> int:
    """How many people of a picture only one of the two finds.

    Whether the weaker of two boxes goes may hang on a rounding of their overlap. So the artefact's suppression may take
    its threshold of overlap for a little more or less.
    """
    most = len(network.scores) if network.is_cut else None
    shifts = (0.0, budget.boxes, -budget.boxes)
    return min(_apart(budget, network, _people(facts, *candidates, shift=shift, most=most)) for shift in shifts)


def _apart(budget: DetectorBudget, network: People, artefact: People) -> int:
    # Where only so many were asked for, the last of them may be others.
    least = float(network.scores.min(initial=1)) + budget.scores if network.is_cut else 0.0
    sure = max(budget.people_from, least)
    return sum(
        bool(score > sure) and not (overlaps(box, others.boxes) >= budget.same_iou).any()
        for people, others in ((network, artefact), (artefact, network))
        for box, score in zip(people.boxes, people.scores, strict=True)
    )
