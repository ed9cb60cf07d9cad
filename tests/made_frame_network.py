"""A network of whole frames with an answer known by hand, for sessions that take frames.

A person's joints all lie where the affine puts the crop's origin, moved by the frame's mean level in x; each score is
the frame's brightest level / 255.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.artefact import BatchRange, Manifest, TensorSpec, manifest_path
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.declared.recipe import Recipe

JOINTS = 17


def write_artefact(path: Path, recipe: Recipe, *, batch: str = "1-4") -> Path:
    """Write the network and its manifest."""
    batches = BatchRange.parse(batch)
    people: int | str = batches.minimum if batches.is_fixed else "N"
    described = Manifest(
        target="cpu",
        precision="fp32",
        input_kind="frame",
        batch=batches,
        model=recipe,
        inputs=(
            TensorSpec("frame", "uint8", ("frame_height", "frame_width", 3)),
            TensorSpec("affines", "float32", (people, 2, 3)),
        ),
        outputs=(
            TensorSpec("keypoints", "float32", (people, JOINTS, 2)),
            TensorSpec("scores", "float32", (people, JOINTS)),
        ),
    )
    model = _model(people)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    described = dataclasses.replace(described, digests={"artefact": sha256_of(path)})
    manifest_path(path).write_bytes(described.as_bytes())
    return path


def _model(people: int | str) -> onnx.ModelProto:
    node = helper.make_node
    constants: dict[str, np.ndarray] = {
        "full": np.array(255, np.float32),
        "right": np.array([[[1, 0]]], np.float32),
        "joints": np.ones((1, JOINTS, 1), np.float32),
        "one_row": np.ones((1, JOINTS), np.float32),
        "from": np.array([2], np.int64),
        "to": np.array([3], np.int64),
        "axis": np.array([2], np.int64),
        "flat": np.array([-1, 1, 2], np.int64),
        "zeros": np.array(0, np.float32),
        "both": np.array([1, 2], np.int64),
        "last": np.array([1], np.int64),
    }
    nodes = [
        node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        node("ReduceMax", ["pixels"], ["brightest"], keepdims=0),
        node("Slice", ["affines", "from", "to", "axis"], ["shift"]),
        node("Reshape", ["shift", "flat"], ["origin"]),
        node("Mul", ["right", "mean"], ["moved"]),
        node("Add", ["origin", "moved"], ["place"]),
        node("Mul", ["joints", "place"], ["keypoints"]),
        node("Div", ["brightest", "full"], ["level"]),
        node("Mul", ["affines", "zeros"], ["nothing"]),
        node("ReduceSum", ["nothing", "both"], ["none"], keepdims=0),
        node("Unsqueeze", ["none", "last"], ["column"]),
        node("Add", ["column", "one_row"], ["ones"]),
        node("Mul", ["ones", "level"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "frames",
        [
            helper.make_tensor_value_info("frame", TensorProto.UINT8, ["frame_height", "frame_width", 3]),
            helper.make_tensor_value_info("affines", TensorProto.FLOAT, [people, 2, 3]),
        ],
        [
            helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, [people, JOINTS, 2]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [people, JOINTS]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
