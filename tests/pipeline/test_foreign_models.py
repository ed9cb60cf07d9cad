"""Any SimCC network in: an RTMPose-shaped ONNX with seeded weights, against decoding by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.artefact import BatchRange
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.keypoints import crop_affines
from amfac_edge.pipeline import ExportRequest, export_artefacts, read_source
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH, JOINTS, SPLIT = 128, 96, 17, 2


def rtmpose_shaped(
    path: Path, *, batch: int | str = "batch", opset: int = 11, names: tuple[str, str] = ("simcc_x", "simcc_y")
) -> Path:
    """A strided convolution, SiLU, one feature map a joint, and a linear classifier an axis: RTMPose's outer shape."""
    random = np.random.default_rng(5)

    def weights(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(
            (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
        )

    features = (HEIGHT // 16) * (WIDTH // 16)
    constants = [
        weights("stem", 8, 3, 16, 16),
        weights("final", JOINTS, 8, 1, 1),
        weights("to_x", features, WIDTH * SPLIT),
        weights("to_y", features, HEIGHT * SPLIT),
        numpy_helper.from_array(np.array([0, JOINTS, features], np.int64), "flat"),
    ]
    nodes = [
        helper.make_node("Conv", ["input", "stem"], ["c"], strides=[16, 16], kernel_shape=[16, 16]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["silu"]),
        helper.make_node("Conv", ["silu", "final"], ["maps"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["maps", "flat"], ["joints"]),
        helper.make_node("MatMul", ["joints", "to_x"], [names[0]]),
        helper.make_node("MatMul", ["joints", "to_y"], [names[1]]),
    ]
    graph = helper.make_graph(
        nodes,
        "rtmpose-shaped",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, HEIGHT, WIDTH])],
        [
            helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [batch, JOINTS, WIDTH * SPLIT]),
            helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, JOINTS, HEIGHT * SPLIT]),
        ],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), path)
    return path


def export(path: Path, out: Path, batch: str | None = None) -> Path:
    request = ExportRequest(out=out, batch=BatchRange.parse(batch) if batch else None)
    return export_artefacts(read_source(path), [load_target("cpu")], request, stage=lambda _line: None)[0].path


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("out0", "out1")])
def test_frame_joints_equal_decoding_by_hand(tmp_path: Path, opset: int, names: tuple[str, str]) -> None:
    model = rtmpose_shaped(tmp_path / "foreign.onnx", opset=opset, names=names)
    frame = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    boxes = np.array([[40.0, 20.0, 150.0, 190.0], [120.0, -10.0, 280.0, 150.0]])
    with PoseEstimator(export(model, tmp_path)) as estimator:
        poses = estimator(frame, boxes)

    raw = RawGraph(model.read_bytes(), name="by hand", optimised=False)
    for person, (x1, y1, x2, y2) in enumerate(boxes):
        # MMPose's TopdownAffine: the padded box, grown to the crop's aspect, centred at (W/2, H/2).
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        scale = max((x2 - x1) / WIDTH, (y2 - y1) / HEIGHT) * 1.25
        matrix = np.array([[scale, 0, centre[0] - scale * WIDTH / 2], [0, scale, centre[1] - scale * HEIGHT / 2]])
        crop = cv2.warpAffine(frame, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        rgb = crop[..., ::-1].astype(np.float64)
        image = (
            ((rgb - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]).transpose(2, 0, 1)[None].astype(np.float32)
        )
        x, y = raw.run({"input": image})
        places = np.stack([x[0].argmax(-1), y[0].argmax(-1)], -1) / SPLIT
        expected = places * scale + (centre - scale * np.array([WIDTH, HEIGHT]) / 2)
        np.testing.assert_allclose(poses.keypoints[person], expected, atol=1e-2)


def test_the_crop_is_mmposes(tmp_path: Path) -> None:
    recipe = read_source(rtmpose_shaped(tmp_path / "foreign.onnx")).recipe
    affine = crop_affines(np.array([[0.0, 0.0, 96.0, 128.0]]), recipe.crop)[0]
    np.testing.assert_allclose(affine @ [WIDTH / 2, HEIGHT / 2, 1], [48, 64])
    assert (recipe.bin_centres, recipe.temperature, recipe.skeleton) == (False, 0.1, "coco-17")


def test_what_was_assumed_is_said(tmp_path: Path) -> None:
    remarks = " ".join(read_source(rtmpose_shaped(tmp_path / "foreign.onnx")).remarks)
    assert "assumed, since an ONNX doesn't say it" in remarks
    assert "opset 11" in remarks


def test_a_recipe_of_ones_own_overrides_what_is_assumed(tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text(
        f'name = "mine"\nfamily = "simcc-onnx"\nskeleton = "coco-17"\n[input]\nheight = {HEIGHT}\nwidth = {WIDTH}\n'
        "mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n[simcc]\ntemperature = 1.0\n"
    )
    recipe = read_source(rtmpose_shaped(tmp_path / "foreign.onnx"), recipe=str(toml)).recipe
    assert (recipe.mean, recipe.temperature, recipe.bin_centres) == ((0.5, 0.5, 0.5), 1.0, True)
    toml.write_text(toml.read_text().replace(f"height = {HEIGHT}", "height = 64"))
    with pytest.raises(ModelFileError, match="recipe mine says"):
        read_source(rtmpose_shaped(tmp_path / "foreign.onnx"), recipe=str(toml))


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    model = rtmpose_shaped(tmp_path / "foreign.onnx", batch=1)
    with pytest.raises(InputError, match="its batch is fixed at 1, not 1-4"):
        export(model, tmp_path, "1-4")
    assert export(model, tmp_path).exists()


def test_a_dynamic_batch_can_stay_dynamic(tmp_path: Path) -> None:
    path = export(rtmpose_shaped(tmp_path / "foreign.onnx"), tmp_path, "1-4")
    frame = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    boxes = np.array([[40.0, 20.0, 150.0, 190.0], [120.0, 10.0, 280.0, 150.0], [10.0, 10.0, 90.0, 150.0]])
    with PoseEstimator(path) as estimator:
        together = estimator(frame, boxes).keypoints
        apart = np.concatenate([estimator(frame, boxes[i : i + 1]).keypoints for i in range(3)])
    np.testing.assert_array_equal(together, apart)
