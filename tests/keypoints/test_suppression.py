"""Non-maximum suppression: by hand, and against the operator of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from amfac_edge.keypoints import overlaps, suppressed
from amfac_edge.sessions.raw_graph import RawGraph

SQUARE = [0.0, 0.0, 10.0, 10.0]
HALF = [0.0, 0.0, 10.0, 5.0]  # overlaps the square by 0.5
THIRD = [5.0, 0.0, 15.0, 10.0]  # overlaps the square by 1/3, and the half by 1/5
AWAY = [20.0, 20.0, 30.0, 30.0]
BOXES = np.array([SQUARE, HALF, THIRD, AWAY], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6], np.float32)


def kept(iou: float, scores: np.ndarray = SCORES, score: float = 0.1, **more: object) -> list[int]:
    return suppressed(BOXES, scores, score_threshold=score, iou_threshold=iou, **more).tolist()  # type: ignore[arg-type]


def test_overlaps_by_hand() -> None:
    np.testing.assert_allclose(overlaps(BOXES[0], BOXES), [1, 0.5, 1 / 3, 0])
    np.testing.assert_allclose(overlaps(BOXES[1], BOXES), [0.5, 1, 0.2, 0])
    assert overlaps(np.zeros(4), np.zeros((1, 4))).tolist() == [0.0]


@pytest.mark.parametrize(
    ("iou", "left"), [(0.6, [0, 1, 2, 3]), (0.5, [0, 1, 2, 3]), (0.4, [0, 2, 3]), (0.3, [0, 3]), (0.1, [0, 3])]
)
def test_whoever_overlaps_more_than_the_threshold_goes(iou: float, left: list[int]) -> None:
    assert kept(iou) == left


def test_who_was_suppressed_suppresses_nobody() -> None:
    # The square takes the half away; the third overlaps the half by 0.2, the square by more.
    assert kept(0.34, np.array([0.9, 0.8, 0.7, 0.6])) == [0, 2, 3]
    # Here the third is the best, and takes the square; the half is left, which the square alone would have taken.
    assert kept(0.3, np.array([0.8, 0.7, 0.9, 0.6])) == [2, 1, 3]


def test_the_score_must_be_above_the_threshold() -> None:
    assert kept(0.5, score=0.7) == [0, 1]
    assert kept(0.5, np.full(4, 0.1)) == []
    assert kept(0.5, np.array([np.nan, 0.8, np.nan, 0.6])) == [1, 3]


def test_equal_scores_keep_the_earlier() -> None:
    assert kept(0.4, np.full(4, 0.5)) == [0, 2, 3]


def test_only_ones_own_class_is_suppressed() -> None:
    assert kept(0.1, classes=np.array([0, 1, 0, 1])) == [0, 1, 3]


def test_no_more_than_asked_for() -> None:
    assert kept(0.6, most=2) == [0, 1]
    assert kept(0.6, most=0) == []


def test_nobody() -> None:
    assert suppressed(np.zeros((0, 4)), np.zeros(0), score_threshold=0, iou_threshold=0.5).shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_as_onnx_runtime_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    corner, extent = random.uniform(0, 60, (1, 80, 2)), random.uniform(5, 40, (1, 80, 2))
    boxes = np.concatenate([corner, corner + extent], axis=-1).astype(np.float32)
    scores = random.uniform(0, 1, (1, 2, 80)).astype(np.float32)
    names = ["boxes", "scores", "most", "iou", "score"]
    limits = [
        helper.make_tensor("most", TensorProto.INT64, [1], [100]),
        helper.make_tensor("iou", TensorProto.FLOAT, [1], [0.4]),
        helper.make_tensor("score", TensorProto.FLOAT, [1], [0.2]),
    ]
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", names, ["kept"])],
        "suppression",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 80, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 80]),
        ],
        [helper.make_tensor_value_info("kept", TensorProto.INT64, ["M", 3])],
        limits,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    rows = RawGraph(model.SerializeToString(), name="suppression").run({"boxes": boxes, "scores": scores})[0]
    for kind in (0, 1):
        found = suppressed(boxes[0], scores[0, kind], score_threshold=0.2, iou_threshold=0.4)
        assert found.tolist() == rows[rows[:, 1] == kind, 2].tolist()
    both = suppressed(
        np.tile(boxes[0], (2, 1)), scores[0].ravel(), score_threshold=0.2, iou_threshold=0.4,
        classes=np.repeat([0, 1], 80),
    )  # fmt: skip
    assert {(int(one) // 80, int(one) % 80) for one in both} == {(int(kind), int(one)) for _, kind, one in rows}
