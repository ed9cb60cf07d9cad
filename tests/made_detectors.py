"""Detectors of both families with seeded weights, small enough for tests, in the forms that their exporters write.

One convolution a grid, as wide as its stride, takes the place of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 64, 96
CANDIDATES = 8 * 12 + 4 * 6 + 2 * 3
STRIDES = (8, 16, 32)
SCORE_THRESHOLD, IOU_THRESHOLD = 0.25, 0.5


class _Graph:
    """Nodes and constants, and names for both."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | np.generic) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def __call__(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:  # noqa: ANN401 - as ONNX has them
        name = to or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{len(self.nodes)}", **attributes))
        return name

    def rows(self, *maps: str, columns: int) -> str:
        """Maps (N,C,h,w) as rows (N,A,C)."""
        flat = self.constant(np.array([0, -1, columns], np.int64))
        parts = [self("Reshape", self("Transpose", each, perm=[0, 2, 3, 1]), flat) for each in maps]
        return self("Concat", *parts, axis=1)

    def slice(self, source: str, start: int, end: int) -> str:
        return self("Slice", source, *(self.constant(np.array([place], np.int64)) for place in (start, end, 2)))


def rtmdet(
    path: Path,
    *,
    classes: int = 1,
    size: tuple[int | str, int | str] = (HEIGHT, WIDTH),
    batch: int | str = 1,
    form: str = "suppressed",
    opset: int = 11,
    broken: str = "",
) -> Path:
    """RTMDet, for normalised images. `form`: "suppressed", "chosen" (the best 40 before that), or "raw" heads."""
    g, random = _Graph(), np.random.default_rng(7)
    logits, distances = [], []
    for stride in STRIDES:
        logits.append(_grid(g, random, "image", stride, classes, spread=2.0, centre=-1.0))
        sides = _grid(g, random, "image", stride, 4, spread=0.3, centre=1.5)
        distances.append(g("Mul", sides, g.constant(np.float32(stride))))
    if form == "raw":
        outputs = [*logits, *distances]
    else:
        scores = g("Sigmoid", g.rows(*logits, columns=classes))
        sides = g.rows(*distances, columns=4)
        corners = g.constant(_corners()[None])
        boxes = g("Concat", g("Sub", corners, g.slice(sides, 0, 2)), g("Add", corners, g.slice(sides, 2, 4)), axis=2)
        outputs = _suppressed(g, boxes, scores, chosen=form == "chosen")
    _break(g, broken)
    return _save(g, path, outputs, batch, size, opset)


def yolox(
    path: Path,
    *,
    classes: int = 80,
    size: tuple[int | str, int | str] = (HEIGHT, WIDTH),
    batch: int | str = 1,
    form: str = "raw",
    opset: int = 11,
    broken: str = "",
) -> Path:
    """YOLOX, for pixels 0..255. `form`: "raw" grids, "decoded" in the graph, or "suppressed" as MMDeploy does."""
    g, random = _Graph(), np.random.default_rng(8)
    pixels = "image"
    maps = []
    for stride in STRIDES:
        # A pixel's usual range instead of 0..255, so that weights can be as small as RTMDet's.
        scaled = g("Mul", g("Sub", pixels, g.constant(np.float32(128))), g.constant(np.float32(1 / 64)))
        parts = [
            _grid(g, random, scaled, stride, columns, spread=spread, centre=centre)
            for columns, spread, centre in ((2, 0.3, 0.5), (2, 0.3, 0.8), (1, 2.0, 0.0), (classes, 2.0, 0.0))
        ]
        if broken != "no sigmoid":
            parts[2:] = [g("Sigmoid", part) for part in parts[2:]]
        if broken == "constant objectness":
            parts[2] = g("Clip", parts[2], g.constant(np.float32(1)), g.constant(np.float32(1)))
        maps.append(g("Concat", *parts, axis=1))
    rows = g.rows(*maps, columns=5 + classes)
    if form == "raw":
        outputs = [rows]
    else:
        strides = g.constant(np.repeat(STRIDES, [96, 24, 6]).astype(np.float32)[None, :, None])
        middle = g("Add", g("Mul", g.slice(rows, 0, 2), strides), g.constant(_corners()[None]))
        extent = g("Mul", g("Exp", g.slice(rows, 2, 4)), strides)
        if form == "decoded":
            outputs = [g("Concat", middle, extent, g.slice(rows, 4, 5 + classes), axis=2)]
        else:
            half = g("Mul", extent, g.constant(np.float32(0.5)))
            boxes = g("Concat", g("Sub", middle, half), g("Add", middle, half), axis=2)
            scores = g("Mul", g.slice(rows, 5, 5 + classes), g.slice(rows, 4, 5))
            outputs = _suppressed(g, boxes, scores, chosen=False)
    _break(g, broken)
    return _save(g, path, outputs, batch, size, opset)


def rtmdet_by_hand(images: np.ndarray, classes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What that RTMDet says of (N,HEIGHT,WIDTH,3) uint8 BGR: boxes (N,A,4) and scores (N,A,classes), float64."""
    random = np.random.default_rng(7)
    planes = ((images - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]).transpose(0, 3, 1, 2)
    logits, sides = [], []
    for stride in STRIDES:
        logits.append(_rows_by_hand(random, planes, stride, classes, spread=2.0, centre=-1.0))
        sides.append(stride * _rows_by_hand(random, planes, stride, 4, spread=0.3, centre=1.5))
    scores, distances = 1 / (1 + np.exp(-np.concatenate(logits, axis=1))), np.concatenate(sides, axis=1)
    return np.concatenate([_corners() - distances[..., :2], _corners() + distances[..., 2:]], axis=-1), scores


def yolox_by_hand(images: np.ndarray, classes: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """The same of that YOLOX."""
    random = np.random.default_rng(8)
    planes = ((images.astype(np.float64) - 128) / 64).transpose(0, 3, 1, 2)
    boxes, scores = [], []
    for stride, corners in zip(STRIDES, np.split(_corners(), [96, 120]), strict=True):
        place, size, objectness, kinds = (
            _rows_by_hand(random, planes, stride, columns, spread=spread, centre=centre)
            for columns, spread, centre in ((2, 0.3, 0.5), (2, 0.3, 0.8), (1, 2.0, 0.0), (classes, 2.0, 0.0))
        )
        centre, extent = corners + place * stride, np.exp(size) * stride
        boxes.append(np.concatenate([centre - extent / 2, centre + extent / 2], axis=-1))
        scores.append(1 / (1 + np.exp(-objectness)) / (1 + np.exp(-kinds)))
    return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """(count,HEIGHT,WIDTH,3) uint8: noise in patches as large as a middle cell, so that scores differ much."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, HEIGHT // 16, WIDTH // 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)


def _rows_by_hand(
    random: np.random.Generator, planes: np.ndarray, stride: int, columns: int, *, spread: float, centre: float
) -> np.ndarray:
    """The map of `_grid` for planes (N,3,H,W) as rows (N,h*w,columns)."""
    weights = (random.standard_normal((columns, 3, stride, stride)) * spread / np.sqrt(3 * stride * stride)).astype(
        np.float32
    )
    down, across = HEIGHT // stride, WIDTH // stride
    cells = planes.reshape(len(planes), 3, down, stride, across, stride)
    return np.einsum("ncysxt,kcst->nyxk", cells, weights).reshape(len(planes), -1, columns) + centre


def _grid(
    g: _Graph, random: np.random.Generator, source: str, stride: int, columns: int, *, spread: float, centre: float
) -> str:
    """A map (N,columns,h,w) of about `centre` plus or minus `spread` on noise."""
    weights = random.standard_normal((columns, 3, stride, stride)) * spread / np.sqrt(3 * stride * stride)
    kernel, bias = g.constant(weights.astype(np.float32)), g.constant(np.full(columns, centre, np.float32))
    return g("Conv", source, kernel, bias, kernel_shape=[stride] * 2, strides=[stride] * 2)


def _corners() -> np.ndarray:
    """(CANDIDATES,2): x and y of every cell's corner."""
    places = [(x, y) for stride in STRIDES for y in range(0, HEIGHT, stride) for x in range(0, WIDTH, stride)]
    return np.array(places, np.float32)


def _suppressed(g: _Graph, boxes: str, scores: str, *, chosen: bool) -> list[str]:
    """`dets` (1,n,5) and `labels` (1,n) with a row of zeros behind them, for one image."""
    if chosen:
        best = g("ReduceMax", scores, axes=[-1], keepdims=0)
        values, places = "top", "places"
        g.nodes.append(helper.make_node("TopK", [best, g.constant(np.array([40], np.int64))], [values, places], axis=1))
        flat = g("Reshape", places, g.constant(np.array([-1], np.int64)))
        boxes, scores = g("Gather", boxes, flat, axis=1), g("Gather", scores, flat, axis=1)
    by_class = g("Transpose", scores, perm=[0, 2, 1])
    limits = [
        g.constant(np.array([value], kind))
        for value, kind in ((200, np.int64), (IOU_THRESHOLD, np.float32), (SCORE_THRESHOLD, np.float32))
    ]
    kept = g("NonMaxSuppression", boxes, by_class, *limits, to="kept")
    label, row = (g("Gather", kept, g.constant(np.int64(column)), axis=1) for column in (1, 2))
    values = g("GatherND", by_class, kept)
    shape = g.constant(np.array([1, -1, 1], np.int64))
    found = g("Concat", g("Gather", boxes, row, axis=1), g("Reshape", values, shape), axis=2)
    g("Concat", found, g.constant(np.zeros((1, 1, 5), np.float32)), axis=1, to="dets")
    labels = g("Reshape", label, g.constant(np.array([1, -1], np.int64)))
    g("Concat", labels, g.constant(np.zeros((1, 1), np.int64)), axis=1, to="labels")
    return ["dets", "labels"]


def _break(g: _Graph, how: str) -> None:
    if how == "nan":
        tensor = next(each for each in g.constants if len(each.dims) == 4)
        values = numpy_helper.to_array(tensor).copy()
        values[0, 0, 0, 0] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    if how in {"no threshold", "odd threshold"}:
        suppression = next(node for node in g.nodes if node.output[0] == "kept")
        tensor = next(each for each in g.constants if each.name == suppression.input[3])
        odd = np.zeros(0, np.float32) if how == "no threshold" else np.full(1, 7, np.float32)
        tensor.CopyFrom(numpy_helper.from_array(odd, tensor.name))


def _save(
    g: _Graph, path: Path, outputs: list[str], batch: int | str, size: tuple[int | str, int | str], opset: int
) -> Path:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, *size])
    bare = helper.make_graph(
        g.nodes, "made", [image], [onnx.ValueInfoProto(name=name) for name in outputs], g.constants
    )
    model = helper.make_model(bare, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    types = {value.name: value for value in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output}
    del model.graph.output[:]
    model.graph.output.extend(types[name] for name in outputs)
    onnx.save(model, path)
    return path
