"""A person detector whose right answer is seen at a glance: each cell of 16 x 16 pixels is a candidate.

Its box is the cell, its score the brightest green in it / 255.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.artefact import BatchRange, DetectorFacts, Manifest, TensorSpec, manifest_path
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH, CELL = 64, 96, 16
CANDIDATES = (HEIGHT // CELL) * (WIDTH // CELL)
FACTS = DetectorFacts(
    name="cells",
    family="rtmdet",
    height=HEIGHT,
    width=WIDTH,
    candidates=CANDIDATES,
    class_index=0,
    class_name="person",
    classes=1,
    score_threshold=0.05,
    iou_threshold=0.6,
)


def write_detector(path: Path, *, batch: str = "1", broken: bool = False, manifest: bool = True) -> Path:
    """Write the network and what describes it; `broken` ones give NaN for a cell without any blue."""
    batches = BatchRange.parse(batch)
    pictures: int | str = batches.minimum if batches.is_fixed else "N"
    described = Manifest(
        target="cpu",
        precision="fp32",
        input_kind="images",
        batch=batches,
        model=FACTS,
        inputs=(TensorSpec("images", "uint8", (pictures, HEIGHT, WIDTH, 3)),),
        outputs=(
            TensorSpec("boxes", "float32", (pictures, CANDIDATES, 4)),
            TensorSpec("scores", "float32", (pictures, CANDIDATES)),
        ),
    )
    model = _model(pictures, broken=broken)
    helper.set_model_props(model, described.metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    if manifest:
        described = dataclasses.replace(described, digests={"artefact": sha256_of(path)})
        manifest_path(path).write_bytes(described.as_bytes())
    return path


def _model(pictures: int | str, *, broken: bool) -> onnx.ModelProto:
    node = helper.make_node
    down, across = HEIGHT // CELL, WIDTH // CELL
    cells = [(x, y, x + CELL, y + CELL) for y in range(0, HEIGHT, CELL) for x in range(0, WIDTH, CELL)]
    constants: dict[str, np.ndarray] = {
        "cells": np.array(cells, np.float32)[None],
        "blocks": np.array([0, down, CELL, across, CELL], np.int64),
        "flat": np.array([0, CANDIDATES], np.int64),
        "inside": np.array([2, 4], np.int64),
        "full": np.array(255, np.float32),
        "none": np.array(0, np.float32),
        "rows": np.array([0, CANDIDATES, 1], np.int64),
    }
    nodes = [
        node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        node("Split", ["pixels"], ["blue", "green", "red"], axis=3, num_outputs=3),
        node("Reshape", ["green", "blocks"], ["blocked"]),
        node("ReduceMax", ["blocked", "inside"], ["brightest"], keepdims=0),
        node("Reshape", ["brightest", "flat"], ["levels"]),
        node("Div", ["levels", "full"], ["scores" if not broken else "sound"]),
        node("Reshape", ["levels", "rows"], ["column"]),
        node("Mul", ["column", "none"], ["zeros"]),
        node("Add", ["zeros", "cells"], ["boxes"]),
    ]
    if broken:
        nodes += [
            node("Reshape", ["blue", "blocks"], ["blue_blocked"]),
            node("ReduceMax", ["blue_blocked", "inside"], ["bluest"], keepdims=0),
            node("Reshape", ["bluest", "flat"], ["blues"]),
            node("Div", ["blues", "blues"], ["one_or_nan"]),
            node("Mul", ["sound", "one_or_nan"], ["scores"]),
        ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [pictures, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [pictures, CANDIDATES, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [pictures, CANDIDATES]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
