"""Detectors of both families, in every form that exporters write, against the same networks computed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.graph.detector_heads import cells
from amfac_edge.graph.detectors import detector_graph, detector_network, normalised_images, with_pixels
from amfac_edge.graph.onnx_values import shape_of
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from amfac_edge.graph.detectors import DetectorNetwork

FORMS = [
    ("rtmdet", {"form": "suppressed"}),
    ("rtmdet", {"form": "suppressed", "classes": 80}),
    ("rtmdet", {"form": "chosen"}),
    ("rtmdet", {"form": "raw"}),
    ("rtmdet", {"form": "raw", "classes": 80, "opset": 17}),
    ("rtmdet", {"form": "suppressed", "size": ("height", "width"), "batch": "batch"}),
    ("yolox", {"form": "raw"}),
    ("yolox", {"form": "raw", "classes": 1, "opset": 17}),
    ("yolox", {"form": "decoded"}),
    ("yolox", {"form": "suppressed", "classes": 1}),
]


def network(path: Path, size: tuple[int, int] | None = None) -> DetectorNetwork:
    return detector_network(onnx.load(path), name="made", where=str(path), size=size)


@pytest.mark.parametrize(("family", "changes"), FORMS)
def test_every_form_gives_the_network_by_hand(
    made_detectors: ModuleType, tmp_path: Path, family: str, changes: dict[str, object]
) -> None:
    path = getattr(made_detectors, family)(tmp_path / "made.onnx", **changes)
    found = network(path, size=(made_detectors.HEIGHT, made_detectors.WIDTH) if "size" in changes else None)
    model = with_pixels(detector_graph(found), found.facts)
    onnx.checker.check_model(model, full_check=True)
    images = made_detectors.pictures(3)
    boxes, scores = (
        np.concatenate(part)
        for part in zip(
            *(RawGraph(model.SerializeToString(), name="made").run({"images": image[None]}) for image in images),
            strict=True,
        )
    )

    classes = int(str(changes.get("classes", 1 if family == "rtmdet" else 80)))
    expected_boxes, expected_scores = getattr(made_detectors, f"{family}_by_hand")(images, classes)
    # Values of up to a few hundred pixels after sums of some thousand products in float32.
    np.testing.assert_allclose(boxes, expected_boxes, atol=1e-3)
    np.testing.assert_allclose(scores, expected_scores[..., 0], atol=1e-5)
    facts = found.facts
    assert (facts.family, facts.classes, facts.candidates) == (family, classes, made_detectors.CANDIDATES)
    assert not {"NonMaxSuppression", "TopK", "GatherND"} & {node.op_type for node in model.graph.node}
    assert [(value.name, shape_of(value)) for value in (*model.graph.input, *model.graph.output)] == [
        ("images", (1, made_detectors.HEIGHT, made_detectors.WIDTH, 3)),
        ("boxes", (1, made_detectors.CANDIDATES, 4)),
        ("scores", (1, made_detectors.CANDIDATES)),
    ]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


@pytest.mark.parametrize(("family", "changes"), FORMS)
def test_the_reference_is_decoded_the_same(
    made_detectors: ModuleType, tmp_path: Path, family: str, changes: dict[str, object]
) -> None:
    path = getattr(made_detectors, family)(tmp_path / "made.onnx", **changes)
    found = network(path, size=(made_detectors.HEIGHT, made_detectors.WIDTH) if "size" in changes else None)
    images = made_detectors.pictures(1, seed=1)
    probe = onnx.load(path)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found.heads.tensors)
    planes = normalised_images(images, found.facts)
    values = RawGraph(probe.SerializeToString(), name="probe").run({"image": planes})
    boxes, scores = found.heads.by_hand(values)
    expected = getattr(made_detectors, f"{family}_by_hand")(images, found.facts.classes)
    np.testing.assert_allclose(boxes, expected[0], atol=1e-3)
    np.testing.assert_allclose(scores, expected[1], atol=1e-5)


def test_a_dynamic_batch_can_stay_dynamic(made_detectors: ModuleType, tmp_path: Path) -> None:
    path = made_detectors.rtmdet(tmp_path / "made.onnx", form="raw", batch="batch")
    found = network(path)
    model = with_pixels(detector_graph(found, "N"), found.facts)
    engine = RawGraph(model.SerializeToString(), name="made")
    images = made_detectors.pictures(3)
    together = engine.run({"images": images})[0]
    apart = [engine.run({"images": image[None]})[0][0] for image in images]
    np.testing.assert_allclose(together, apart, atol=1e-4)
    assert shape_of(model.graph.output[0])[0] == "N"


def test_thresholds_are_those_of_the_suppression_in_the_graph(made_detectors: ModuleType, tmp_path: Path) -> None:
    inside = network(made_detectors.rtmdet(tmp_path / "a.onnx")).facts
    assert (inside.score_threshold, inside.iou_threshold) == (0.25, 0.5)
    outside = network(made_detectors.yolox(tmp_path / "b.onnx")).facts
    assert (outside.score_threshold, outside.iou_threshold) == (0.01, 0.65)


def test_names_of_the_contract_that_the_file_uses_for_something_else(
    made_detectors: ModuleType, tmp_path: Path
) -> None:
    path = made_detectors.rtmdet(tmp_path / "made.onnx", form="raw")
    model = onnx.load(path)
    for node in model.graph.node:
        # The image is "boxes", and what comes out of the first two convolutions "scores" and "images".
        for names in (node.input, node.output):
            names[:] = [{"image": "boxes", "t0": "scores", "t1": "images"}.get(name, name) for name in names]
    model.graph.input[0].name = "boxes"
    model.graph.output[0].name = "scores"
    found = detector_network(model, name="made", where="made.onnx")
    cut = with_pixels(detector_graph(found), found.facts)
    onnx.checker.check_model(cut, full_check=True)
    images = made_detectors.pictures(1)
    boxes, scores = RawGraph(cut.SerializeToString(), name="made").run({"images": images})
    expected = made_detectors.rtmdet_by_hand(images)
    np.testing.assert_allclose(boxes, expected[0], atol=1e-3)
    np.testing.assert_allclose(scores, expected[1][..., 0], atol=1e-5)


def test_what_was_assumed_is_said(made_detectors: ModuleType, tmp_path: Path) -> None:
    remarks = " ".join(network(made_detectors.rtmdet(tmp_path / "a.onnx", form="raw", classes=80)).remarks)
    assert "class 0 of 80 taken as the person" in remarks
    assert "input 64x96, fixed by the file" in remarks
    assert "assumed, since an ONNX doesn't say it: BGR pixels with RTMDet's mean and std" in remarks


def test_a_size_that_the_file_leaves_open(made_detectors: ModuleType, tmp_path: Path) -> None:
    path = made_detectors.yolox(tmp_path / "made.onnx", size=("h", "w"))
    small = network(path)
    assert (small.facts.height, small.facts.width, small.facts.candidates) == (320, 320, 2100)
    assert "assumed for 0.3 M weights, since the file leaves it open; --size HxW says otherwise" in small.remarks[1]
    stated = network(path, size=(64, 96))
    assert (stated.facts.height, stated.facts.width) == (64, 96)
    assert "as given" in stated.remarks[1]


@pytest.mark.parametrize(
    ("size", "problem"),
    [((64, 64), "its input is fixed at 64x96"), ((100, 96), "fixed at 64x96")],
)
def test_a_size_that_cant_be(made_detectors: ModuleType, tmp_path: Path, size: tuple[int, int], problem: str) -> None:
    path = made_detectors.rtmdet(tmp_path / "made.onnx")
    with pytest.raises(InputError, match=problem):
        network(path, size=size)
    opened = made_detectors.rtmdet(tmp_path / "open.onnx", size=("h", "w"))
    with pytest.raises(InputError, match="not of multiples of 32"):
        network(opened, size=(100, 96))


@pytest.mark.parametrize(
    ("family", "changes", "problem"),
    [
        ("rtmdet", {"classes": 3}, "tells 3 classes apart, and an ONNX doesn't say which of them is the person"),
        ("rtmdet", {"form": "raw", "classes": 4}, "not three maps of classes and three of four sides"),
        ("rtmdet", {"broken": "odd threshold"}, r"iou_threshold must be in range \[0, 1\]"),
        ("rtmdet", {"broken": "no threshold"}, "the thresholds of its suppression .* are not in 0..1"),
        ("yolox", {"classes": 20}, "tells 20 classes apart"),
        ("yolox", {"broken": "no sigmoid"}, "for want of a sigmoid"),
        ("yolox", {"broken": "constant objectness"}, "its objectness is the same for all candidates"),
    ],
)
def test_what_is_none_is_refused(
    made_detectors: ModuleType, tmp_path: Path, family: str, changes: dict[str, object], problem: str
) -> None:
    path = getattr(made_detectors, family)(tmp_path / "made.onnx", **changes)
    with pytest.raises(ModelFileError, match=problem):
        network(path)


def test_other_detectors_are_refused() -> None:
    """As YOLOv8 gives them, (N,4 + C,A), and as YOLOv5 does, three candidates a cell."""
    for shape, problem in (((1, 84, 126), "not 126 candidates of 5"), ((1, 378, 85), "not 126 candidates of 5")):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 96])
        output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
        shape_constant = helper.make_tensor("shape", TensorProto.INT64, [3], shape)
        nodes = [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Reshape", ["mean", "one"], ["scalar"]),
            helper.make_node("Expand", ["scalar", "shape"], ["output"]),
        ]
        one = helper.make_tensor("one", TensorProto.INT64, [3], [1, 1, 1])
        graph = helper.make_graph(nodes, "other", [image], [output], [shape_constant, one])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
        with pytest.raises(ModelFileError, match=problem):
            detector_network(model, name="other", where="other.onnx")


def test_dets_and_labels_without_a_suppression() -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 96])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 96]) for name in ("dets", "labels")]
    nodes = [helper.make_node("Relu", ["image"], [name]) for name in ("dets", "labels")]
    model = helper.make_model(helper.make_graph(nodes, "other", [image], outputs))
    with pytest.raises(ModelFileError, match="0 suppressions"):
        detector_network(model, name="other", where="other.onnx")


def test_cells_come_grid_by_grid_and_row_by_row() -> None:
    found = cells(64, 96)
    assert found.shape == (126, 3)
    np.testing.assert_array_equal(found[[0, 1, 12, 96, 120, 125]], [
        [0, 0, 8], [8, 0, 8], [0, 8, 8], [0, 0, 16], [0, 0, 32], [64, 32, 32],
    ])  # fmt: skip
