"""What the artefact of a person detector says of itself, where a pose artefact has its recipe.

One contract for all families. `images` uint8 (N,H,W,3) BGR, letterboxed -> `boxes` float32 (N,A,4) x1, y1, x2, y2 in
pixels of `images`, `scores` float32 (N,A) of the class person in 0..1. All A candidates are there: nothing is
suppressed in the graph, since suppression would give every engine outputs of another shape.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.declared.reading import reading
from amfac_edge.errors import ModelFileError
from amfac_edge.keypoints import LETTERBOX_FILL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.declared.reading import Table

__all__ = [
    "BOXES_OUTPUT",
    "DETECTOR_FAMILIES",
    "IMAGES_INPUT",
    "PERSON_SCORES_OUTPUT",
    "RTMDET",
    "STRIDES",
    "YOLOX",
    "YOLOX_COLUMNS",
    "DetectorFacts",
    "candidates_of",
    "detector_facts_from_json",
    "not_a_person_detector",
    "not_a_pose_network",
    "outputs_of_detector",
]

RTMDET, YOLOX = "rtmdet", "yolox"
DETECTOR_FAMILIES = (RTMDET, YOLOX)
IMAGES_INPUT, BOXES_OUTPUT, PERSON_SCORES_OUTPUT = "images", "boxes", "scores"
STRIDES = (8, 16, 32)
_MOST_CANDIDATES = 1 << 20
_LONGEST_SIDE = 1 << 14
_SCORES = {
    RTMDET: "sigmoid of the logit of the class person",
    YOLOX: "sigmoid of the objectness times sigmoid of the class person",
}
# Four of the box and the objectness, in front of the classes.
YOLOX_COLUMNS = 5


@dataclass(frozen=True)
class DetectorFacts:
    """What a person detector is.

    Attributes:
        name: of the model.
        family: "rtmdet" or "yolox".
        height: H of its input, in pixels.
        width: W of its input, in pixels.
        candidates: A, boxes in every image.
        class_index: of the class person among those that the network tells apart.
        class_name: its name.
        classes: how many those are.
        score_threshold: below which the network's own suppression, or its family's published one, drops a candidate.
        iou_threshold: overlap above which the same drops the weaker of two.
    """

    name: str
    family: str
    height: int
    width: int
    candidates: int
    class_index: int
    class_name: str
    classes: int
    score_threshold: float
    iou_threshold: float

    def as_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return asdict(self)

    def letterbox_sentence(self) -> str:
        """How a frame becomes `images`, in one sentence, for readers of the artefact in other languages."""
        return (
            f"BGR frame scaled by s = min({self.width} / width, {self.height} / height) on both axes, bilinear, at the "
            f"top left; the rest is {LETTERBOX_FILL}; a box in the frame is the network's divided by s"
        )

    def score_sentence(self) -> str:
        """The score's definition in one sentence."""
        return _SCORES[self.family]


def detector_facts_from_json(data: object, *, where: str) -> DetectorFacts:
    """Read the facts from JSON.

    Raises:
        DeclaredError: all faults, with key paths.
    """
    with reading(data, where=where) as table:
        facts = _facts(table)
        if facts.class_index >= facts.classes:
            table.fault("class_index", f"{facts.class_index} is none of {facts.classes} classes")
        table.ignore(*table.keys())
    return facts


def _facts(table: Table) -> DetectorFacts:
    counts = {
        name: table.integer(name, minimum=1, maximum=maximum)
        for name, maximum in (
            ("height", _LONGEST_SIDE),
            ("width", _LONGEST_SIDE),
            ("candidates", _MOST_CANDIDATES),
            ("classes", _MOST_CANDIDATES),
        )
    }
    return DetectorFacts(
        name=table.text("name"),
        family=table.text("family", choices=DETECTOR_FAMILIES),
        class_index=table.integer("class_index"),
        class_name=table.text("class_name"),
        score_threshold=table.number("score_threshold", minimum=0, maximum=1),
        iou_threshold=table.number("iou_threshold", minimum=0, maximum=1),
        **counts,
    )


def not_a_pose_network(name: str) -> ModelFileError:
    """The refusal of a detector by whoever needs a pose network."""
    return ModelFileError(
        f"{name}: this is a person detector, not a pose network",
        cure="Give the artefact of a pose network here, and the detector beside it: amfac-run --detector.",
    )


def not_a_person_detector(name: str) -> ModelFileError:
    """The refusal of a pose network by whoever needs a detector."""
    return ModelFileError(
        f"{name}: this is a pose network, not a person detector",
        cure="Give it as the engine, and here an RTMDet or YOLOX; amfac-fetch --list has some.",
    )


def candidates_of(height: int, width: int) -> int:
    """A: one candidate a cell of the three grids of an input of that size, whose sides are multiples of 32."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def outputs_of_detector(names: Sequence[str], shapes: Sequence[tuple[int | str, ...]]) -> bool:
    """Whether an ONNX with these outputs seems to be a detector of a known family; the graph has to prove it.

    Either `dets` (N,n,5) and `labels` (N,n), or three times (N,C,h,w) and three times (N,4,h,w), or one (N,A,5 + C).

    Args:
        names: of the outputs.
        shapes: theirs, with a string for a dynamic axis.
    """
    if {"dets", "labels"} <= set(names):
        return True
    if len(shapes) == 2 * len(STRIDES):
        return all(len(shape) == 4 for shape in shapes) and sum(shape[1] == 4 for shape in shapes) >= len(STRIDES)  # noqa: PLR2004 - four axes, four sides
    if len(shapes) == 1 and len(shapes[0]) == 3:  # noqa: PLR2004 - (N,A,5 + C)
        columns = shapes[0][2]
        return isinstance(columns, int) and columns > YOLOX_COLUMNS
    return False
