"""Where a detector's boxes and scores are in its graph, and how they are decoded, for each family.

RTMDet (Lyu et al., 2022): every cell of three grids gives the distances from its own corner to the four sides of a box,
times the stride, and a logit a class. MMDeploy's exports decode and suppress in the graph; raw heads do neither. YOLOX
(Ge et al., 2021): every cell gives an offset of the centre and the logarithms of width and height, in strides, an
objectness and a score a class; the official export leaves decoding to the caller, others write it into the graph.

Letters: N images, H x W the input, A cells of all three grids, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact.detector_facts import RTMDET, STRIDES, YOLOX, YOLOX_COLUMNS, candidates_of
from amfac_edge.errors import ModelFileError
from amfac_edge.graph.cutting import behind, tail, with_outputs
from amfac_edge.graph.onnx_values import attribute, constant_values, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

    from amfac_edge.graph.writing import GraphWriter

    Decoded = tuple[NDArray[np.float64], NDArray[np.float64]]

__all__ = ["Heads", "cells", "find_heads", "not_a_detector", "not_this_family"]

# Score and overlap below and above which the families' public test configurations drop a candidate.
_RTMDET_TEST, _YOLOX_TEST = (0.05, 0.6), (0.01, 0.65)
_SIDES = 4


@dataclass(frozen=True)
class Heads(ABC):
    """Boxes and scores of a detector before any suppression.

    Attributes:
        family: "rtmdet" or "yolox".
        form: how its graph gives them, for people.
        tensors: of the graph, that hold them.
        classes: C.
        score_threshold: of the suppression in the graph, else of the test configuration of the family's public models.
        iou_threshold: likewise.
        chosen: how many of the A candidates, the best, the suppression in the graph looks at; all where there is none.
    """

    family: str
    form: str
    tensors: tuple[str, ...]
    classes: int
    score_threshold: float
    iou_threshold: float
    chosen: int

    @abstractmethod
    def decoded(self, writer: GraphWriter) -> tuple[list[NodeProto], str, str]:
        """Nodes that decode `tensors` in the graph, and the names of boxes (N,A,4) and scores (N,A,C)."""

    @abstractmethod
    def by_hand(self, values: Sequence[NDArray[np.float32]]) -> Decoded:
        """Boxes (N,A,4) and scores (N,A,C) from the values of `tensors`, in float64: the reference."""


def find_heads(model: ModelProto, *, where: str) -> Heads:
    """Find boxes and scores in a graph whose H and W are fixed.

    Raises:
        ModelFileError: it isn't of these families after all.
    """
    _, _, height, width = (int(side) if isinstance(side, int) else 1 for side in shape_of(model.graph.input[0]))
    if len(model.graph.output) == 1:
        return _yolox(model, height, width, where)
    if len(model.graph.output) == 2 * len(STRIDES):
        return _raw_rtmdet(model, height, width, where)
    return _suppressed(model, height, width, where)


def not_a_detector(where: str, graph: GraphProto, why: str) -> ModelFileError:
    """The refusal of a graph that is none of these."""
    shown = ", ".join(f"{value.name} {list(shape_of(value))}" for value in graph.output)
    return ModelFileError(
        f"{where}: its outputs ({shown}) are not those of a detector of the RTMDet or YOLOX family: {why}",
        cure="amfac-export takes pose networks with simcc_x and simcc_y, and person detectors of these two families.",
    )


def not_this_family(where: str, family: str, why: str) -> ModelFileError:
    """The refusal of a graph that looks like one of a family, and computes something else."""
    return ModelFileError(
        f"{where}: it has the outputs of a detector of the family {family}, but {why}",
        cure="Give one exported by MMDetection or MMDeploy (RTMDet) or by YOLOX's own exporter.",
    )


def cells(height: int, width: int) -> NDArray[np.float64]:
    """(A,3): x and y of each cell's corner in input pixels, and its stride; grids by rising stride, row by row."""
    grids = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        grids.append(np.stack([x * stride, y * stride, np.full_like(x, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float64)


@dataclass(frozen=True)
class _DecodedHeads(Heads):
    """The graph has boxes and scores as they are wanted, in front of its suppression."""

    def decoded(self, writer: GraphWriter) -> tuple[list[NodeProto], str, str]:  # noqa: ARG002 - nothing is written
        boxes, scores = self.tensors
        return [], boxes, scores

    def by_hand(self, values: Sequence[NDArray[np.float32]]) -> Decoded:
        boxes, scores = (value.astype(np.float64) for value in values)
        return boxes, scores


def _suppressed(model: ModelProto, height: int, width: int, where: str) -> Heads:
    graph = model.graph
    operators = [node for node in graph.node if node.op_type == "NonMaxSuppression"]
    if len(operators) != 1 or attribute(operators[0], "center_point_box", 0):
        raise not_a_detector(where, graph, f"{len(operators)} suppressions, or of boxes by their centres")
    suppression = operators[0]
    # The best few thousand may be chosen before they are suppressed; what is wanted lies before that as well.
    later = behind(graph, "TopK")
    names = [[name for name in tail(graph, source) if name not in later] for source in suppression.input[:2]]
    shapes = _shapes(model, list(dict.fromkeys([*suppression.input[:2], *names[0], *names[1]])), where)
    candidates = candidates_of(height, width)
    boxes = [name for name in names[0] if shapes[name] == (1, candidates, _SIDES)]
    scores = [name for name in names[1] if shapes[name][:2] == (1, candidates) and len(shapes[name]) == 3]  # noqa: PLR2004
    if not boxes or not scores:
        raise not_a_detector(where, graph, f"no {candidates} boxes and scores in front of its suppression")
    iou, score = _thresholds(graph, [*suppression.input, "", "", ""][3:5], where)
    # Both families come from MMDeploy in this form; only YOLOX multiplies its scores, by the objectness.
    is_yolox = any(node.op_type == "Mul" and not set(scores).isdisjoint(node.output) for node in graph.node)
    form = "suppression in the graph, cut off"
    tensors, classes = (boxes[-1], scores[-1]), shapes[scores[-1]][2]
    chosen = min(candidates, *shapes[suppression.input[0]][1:2])
    return _DecodedHeads(YOLOX if is_yolox else RTMDET, form, tensors, classes, score, iou, chosen)


def _thresholds(graph: GraphProto, names: list[str], where: str) -> list[float]:
    """The values of a suppression's thresholds; an absent one is 0."""
    constants = {"": np.zeros(1)} | constant_values(graph)
    values = [float(constants[name].flat[0]) for name in names if name in constants and constants[name].size]
    if len(values) != len(names) or not all(0 <= value <= 1 for value in values):
        raise not_a_detector(where, graph, f"the thresholds of its suppression ({', '.join(names)}) are not in 0..1")
    return values


def _values(model: ModelProto, names: list[str], where: str) -> dict[str, NDArray[np.float32]]:
    """What float tensors of the graph hold for one image of noise, (1,...); those of other types are left out."""
    image = model.graph.input[0]
    batch, *sides = (side if isinstance(side, int) else 1 for side in shape_of(image))
    noise = np.random.default_rng(0).uniform(-1, 1, (batch, *sides)).astype(np.float32)
    values = with_outputs(model, names, where=where).run({image.name: noise})
    return {
        name: value[:1]
        for name, value in zip(names, values, strict=True)
        if value.dtype == np.float32 and value.ndim and len(value) == batch
    }


def _shapes(model: ModelProto, names: list[str], where: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the same; others count as ()."""
    found = {name: value.shape for name, value in _values(model, names, where).items()}
    return {name: found.get(name, ()) for name in names}


@dataclass(frozen=True)
class _RawRtmdetHeads(Heads):
    """Three maps of logits (N,C,h,w), then three of distances (N,4,h,w), by rising stride."""

    corners: NDArray[np.float64]
    with_sigmoid: bool

    def decoded(self, writer: GraphWriter) -> tuple[list[NodeProto], str, str]:
        half = len(STRIDES)
        nodes: list[NodeProto] = []
        joined = []
        for kind, columns, maps in (
            ("logits", self.classes, self.tensors[:half]),
            ("distances", _SIDES, self.tensors[half:]),
        ):
            shape = writer.constant(f"{kind}/shape", np.array([0, -1, columns], np.int64))
            rows = []
            for level, source in enumerate(maps):
                moved, flat = (f"{writer.prefix}{kind}/{level}/{step}" for step in ("moved", "flat"))
                nodes.append(writer.node("Transpose", [source], moved, perm=[0, 2, 3, 1]))
                nodes.append(writer.node("Reshape", [moved, shape], flat))
                rows.append(flat)
            joined.append(f"{writer.prefix}{kind}")
            nodes.append(writer.node("Concat", rows, joined[-1], axis=1))
        logits, distances = joined
        scores = logits
        if not self.with_sigmoid:
            scores = f"{writer.prefix}class_scores"
            nodes.append(writer.node("Sigmoid", [logits], scores))
        corners = writer.constant("corners", self.corners[None, :, :2].astype(np.float32))
        first, last, boxes = (f"{writer.prefix}corner/{step}" for step in ("first", "last", "boxes"))
        return (
            [
                *nodes,
                *writer.columns(distances, first, 0, 2),
                *writer.columns(distances, last, 2, 4),
                writer.node("Sub", [corners, first], f"{first}/place"),
                writer.node("Add", [corners, last], f"{last}/place"),
                writer.node("Concat", [f"{first}/place", f"{last}/place"], boxes, axis=2),
            ],
            boxes,
            scores,
        )

    def by_hand(self, values: Sequence[NDArray[np.float32]]) -> Decoded:
        rows = [
            np.moveaxis(value.astype(np.float64), 1, -1).reshape(len(value), -1, value.shape[1]) for value in values
        ]
        scores, distances = (np.concatenate(part, axis=1) for part in (rows[: len(STRIDES)], rows[len(STRIDES) :]))
        corners = self.corners[:, :2]
        boxes = np.concatenate([corners - distances[..., :2], corners + distances[..., 2:]], axis=-1)
        return boxes, scores if self.with_sigmoid else 1 / (1 + np.exp(-scores))


def _raw_rtmdet(model: ModelProto, height: int, width: int, where: str) -> Heads:
    graph = model.graph
    names = [value.name for value in graph.output]
    shapes = _shapes(model, names, where)
    grids = [(height // stride, width // stride) for stride in STRIDES]
    distances = [[name for name in names if shapes[name] == (1, _SIDES, *grid)] for grid in grids]
    logits = [[name for name in names if shapes[name][2:] == grid and shapes[name][1] != _SIDES] for grid in grids]
    classes = {shapes[name][1] for part in logits for name in part}
    if len(names) != 2 * len(grids) or any(len(part) != 1 for part in (*distances, *logits)) or len(classes) != 1:
        raise not_a_detector(where, graph, f"not three maps of classes and three of four sides at {height}x{width}")
    tensors = tuple(part[0] for part in (*logits, *distances))
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    with_sigmoid = made_by.get(tensors[0]) == "Sigmoid"
    form = "raw heads, decoded here"
    grid = cells(height, width)
    return _RawRtmdetHeads(RTMDET, form, tensors, classes.pop(), *_RTMDET_TEST, len(grid), grid, with_sigmoid)


@dataclass(frozen=True)
class _YoloxHeads(Heads):
    """One tensor (N,A,5 + C): centre, width and height, objectness, classes."""

    corners: NDArray[np.float64]
    is_decoded: bool

    def decoded(self, writer: GraphWriter) -> tuple[list[NodeProto], str, str]:
        (source,) = self.tensors
        place, size, centre, extent, half, boxes, objectness, classes, scores = (
            f"{writer.prefix}yolox/{step}"
            for step in ("place", "size", "centre", "extent", "half", "boxes", "objectness", "classes", "scores")
        )
        nodes = [*writer.columns(source, place, 0, 2), *writer.columns(source, size, 2, 4)]
        if self.is_decoded:
            centre, extent = place, size
        else:
            stride = writer.constant("stride", self.corners[None, :, 2:].astype(np.float32))
            corners = writer.constant("corners", self.corners[None, :, :2].astype(np.float32))
            nodes += [
                writer.node("Mul", [place, stride], f"{place}/pixels"),
                writer.node("Add", [f"{place}/pixels", corners], centre),
                writer.node("Exp", [size], f"{size}/strides"),
                writer.node("Mul", [f"{size}/strides", stride], extent),
            ]
        one_half = writer.constant("half", np.array([0.5], np.float32))
        return (
            [
                *nodes,
                writer.node("Mul", [extent, one_half], half),
                writer.node("Sub", [centre, half], f"{boxes}/first"),
                writer.node("Add", [centre, half], f"{boxes}/last"),
                writer.node("Concat", [f"{boxes}/first", f"{boxes}/last"], boxes, axis=2),
                *writer.columns(source, objectness, 4, YOLOX_COLUMNS),
                *writer.columns(source, classes, YOLOX_COLUMNS, YOLOX_COLUMNS + self.classes),
                writer.node("Mul", [objectness, classes], scores),
            ],
            boxes,
            scores,
        )

    def by_hand(self, values: Sequence[NDArray[np.float32]]) -> Decoded:
        rows = values[0].astype(np.float64)
        centre, extent = rows[..., :2], rows[..., 2:4]
        if not self.is_decoded:
            corners, stride = self.corners[:, :2], self.corners[:, 2:]
            centre, extent = corners + centre * stride, np.exp(extent) * stride
        boxes = np.concatenate([centre - extent / 2, centre + extent / 2], axis=-1)
        return boxes, rows[..., 4:5] * rows[..., 5:]


def _yolox(model: ModelProto, height: int, width: int, where: str) -> Heads:
    graph = model.graph
    name = graph.output[0].name
    values = _values(model, [name], where).get(name, np.zeros(0, np.float32))
    shape, candidates = values.shape, candidates_of(height, width)
    if len(shape) != 3 or shape[1] != candidates or shape[2] <= YOLOX_COLUMNS:  # noqa: PLR2004 - (N,A,5 + C)
        raise not_a_detector(
            where, graph, f"not {candidates} candidates of 5 + classes, as YOLOX's at {height}x{width}"
        )
    made = set(tail(graph, name))
    operators = {node.op_type for node in graph.node if not made.isdisjoint(node.output)}
    if "Sigmoid" not in operators:
        raise not_a_detector(where, graph, "its objectness and classes are no scores, for want of a sigmoid")
    if np.ptp(values[..., 4]) == 0:
        raise not_this_family(where, YOLOX, "its objectness is the same for all candidates")
    # Width and height come out of the network as logarithms.
    is_decoded = "Exp" in operators
    form = "boxes decoded in the graph" if is_decoded else "raw grids, decoded here"
    grid = cells(height, width)
    return _YoloxHeads(YOLOX, form, (name,), shape[2] - YOLOX_COLUMNS, *_YOLOX_TEST, len(grid), grid, is_decoded)
