"""A pose network whose right answer is computed by hand: it finds markers of known colours.

Joint k is the first pixel whose blue value is nearest to 10 · (k + 1). Its score is (1 - difference / 255), times the
brightest green value of the crop / 255.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.artefact import BatchRange, Manifest, TensorSpec, manifest_path
from amfac_edge.declared.recipe import CropRule, ForeignNetwork, Recipe
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH, JOINTS = 64, 48, 17

RECIPE = Recipe(
    name="marker-64x48",
    family="simcc-onnx",
    skeleton="coco-17",
    crop=CropRule(HEIGHT, WIDTH),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    split_ratio=2.0,
    bin_centres=True,
    temperature=1.0,
    network=ForeignNetwork("made for the tests"),
)


def write_artefact(
    path: Path,
    *,
    batch: str = "1",
    trained: bool | None = None,
    manifest: bool = True,
    metadata: bool = True,
    skeleton: str = "coco-17",
) -> Path:
    """Write the network and what describes it; `batch` "1-4" makes N dynamic."""
    batches = BatchRange.parse(batch)
    people: int | str = batches.minimum if batches.is_fixed else "N"
    joints = {"coco-17": JOINTS, "crowdpose-14": 14}[skeleton]
    described = _described(batches, people, joints, trained=trained, skeleton=skeleton)
    model = _model(people, joints)
    if metadata:
        helper.set_model_props(model, described.metadata())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    if manifest:
        described = dataclasses.replace(described, digests={"artefact": sha256_of(path)})
        manifest_path(path).write_bytes(described.as_bytes())
    return path


def painted_crop(places: list[tuple[int, int]], green: int = 255) -> np.ndarray:
    """A (HEIGHT, WIDTH, 3) uint8 crop with joint k's marker at places[k] = (x, y)."""
    crop = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for joint, (x, y) in enumerate(places):
        crop[y, x] = (10 * (joint + 1), green, 0)
    return crop


def spread_places(seed: int = 0, joints: int = JOINTS) -> list[tuple[int, int]]:
    """Different places for all joints, away from the border."""
    rng = np.random.default_rng(seed)
    cells = rng.choice((WIDTH - 4) * (HEIGHT - 4), joints, replace=False)
    return [(2 + int(cell) % (WIDTH - 4), 2 + int(cell) // (WIDTH - 4)) for cell in cells]


def _described(batch: BatchRange, people: int | str, joints: int, *, trained: bool | None, skeleton: str) -> Manifest:
    return Manifest(
        target="cpu",
        precision="fp32",
        input_kind="crops",
        batch=batch,
        model=dataclasses.replace(RECIPE, skeleton=skeleton),
        inputs=(TensorSpec("crops", "uint8", (people, HEIGHT, WIDTH, 3)),),
        outputs=(
            TensorSpec("keypoints", "float32", (people, joints, 2)),
            TensorSpec("scores", "float32", (people, joints)),
        ),
        trained=trained,
    )


def _model(people: int | str, joints: int) -> onnx.ModelProto:
    node = helper.make_node
    constants: dict[str, np.ndarray] = {
        "levels": np.arange(10, 10 * joints + 10, 10, dtype=np.float32).reshape(1, joints, 1),
        "flat": np.array([0, 1, HEIGHT * WIDTH], np.int64),
        "width": np.array(WIDTH, np.int64),
        "full": np.array(255, np.float32),
        "one": np.array(1, np.float32),
        "last": np.array([-1], np.int64),
    }
    nodes = [
        node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        node("Split", ["pixels"], ["blue", "green", "red"], axis=3, num_outputs=3),
        node("Reshape", ["blue", "flat"], ["blues"]),
        node("Reshape", ["green", "flat"], ["greens"]),
        node("Sub", ["blues", "levels"], ["signed"]),
        node("Abs", ["signed"], ["difference"]),
        node("ArgMin", ["difference"], ["index"], axis=2, keepdims=1),
        node("Mod", ["index", "width"], ["x"]),
        node("Div", ["index", "width"], ["y"]),
        node("Concat", ["x", "y"], ["xy"], axis=2),
        node("Cast", ["xy"], ["keypoints"], to=TensorProto.FLOAT),
        node("ReduceMin", ["difference", "last"], ["nearest"], keepdims=0),
        node("ReduceMax", ["greens", "last"], ["brightest"], keepdims=0),
        node("Div", ["nearest", "full"], ["miss"]),
        node("Sub", ["one", "miss"], ["hit"]),
        node("Div", ["brightest", "full"], ["strength"]),
        node("Mul", ["hit", "strength"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "markers",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, [people, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, [people, joints, 2]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [people, joints]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
