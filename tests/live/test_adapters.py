from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError, MissingExtraError
from amfac_edge.live import Body, supervision_key_points
from amfac_edge.runtime import PoseEstimator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amfac_edge.live import PosedFrame


@dataclass
class _Newer:
    """The fields of supervision 0.31."""

    xy: Any
    class_id: Any = None
    keypoint_confidence: Any = None
    detection_confidence: Any = None
    visible: Any = None
    data: Any = None


@dataclass
class _Older:
    """The fields of supervision 0.20 to 0.26."""

    xy: Any
    class_id: Any = None
    confidence: Any = None
    data: Any = None


def _stand_in(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    module = ModuleType("supervision")
    module.KeyPoints = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)


@pytest.mark.parametrize(("kind", "confidence"), [(_Newer, "keypoint_confidence"), (_Older, "confidence")])
def test_supervision_gets_what_it_documents(
    kind: type, confidence: str, monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    _stand_in(monkeypatch, kind)
    posed = posed_frame(people=2)
    posed.poses.scores[1, 3] = 0.1
    found = supervision_key_points(posed.poses, ids=posed.ids, min_score=0.3)
    assert (found.xy.shape, found.xy.dtype) == ((2, 17, 2), np.float32)
    np.testing.assert_array_equal(getattr(found, confidence), posed.poses.scores)
    np.testing.assert_array_equal(found.xy[1, 3], 0)
    np.testing.assert_array_equal(found.xy[0], posed.poses.keypoints[0])
    assert found.data["tracker_id"].tolist() == [7, 8]
    assert found.class_id.tolist() == [0, 0]
    # The poses stay as they are.
    assert (posed.poses.keypoints[1, 3] != 0).all()
    assert supervision_key_points(posed_frame(people=0).poses).xy.shape == (0, 17, 2)
    with pytest.raises(InputError, match=r"ids of shape \(1,\) for 2 people"):
        supervision_key_points(posed.poses, ids=[1])


def test_the_real_supervision_draws_them(posed_frame: Callable[..., PosedFrame]) -> None:
    supervision = pytest.importorskip("supervision")
    posed = posed_frame(people=2)
    scene = posed.frame.image.copy()
    supervision.VertexAnnotator(radius=3).annotate(scene, supervision_key_points(posed.poses, ids=posed.ids))
    assert (scene != posed.frame.image).any()


def test_without_supervision_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"amfac-edge\[supervision\]"):
        supervision_key_points(posed_frame().poses)


def test_the_call_of_rtmlib(markers: ModuleType, tmp_path: Path) -> None:
    engine = markers.write_artefact(tmp_path / "engine.onnx")
    frame = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)
    with Body(engine, threads=1) as body, PoseEstimator(engine) as estimator:
        keypoints, scores = body(frame)
        expected = estimator(frame, [[-0.5, -0.5, 79.5, 95.5]])
        with pytest.raises(FrameError, match="NoneType"):
            body(None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(keypoints, expected.keypoints)
    np.testing.assert_array_equal(scores, expected.scores)
    assert (keypoints.shape, scores.shape) == ((1, 17, 2), (1, 17))


def test_where_the_detector_finds_nobody_there_is_nobody(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from amfac_edge.keypoints import PeopleBoxes  # noqa: PLC0415 - of this test alone
    from amfac_edge.live import adapters  # noqa: PLC0415

    closed: list[bool] = []

    class Nobody:
        def __call__(self, _: object) -> PeopleBoxes:
            return PeopleBoxes.nobody()

        def __enter__(self) -> Nobody:
            return self

        def __exit__(self, *_: object) -> None:
            closed.append(True)

    monkeypatch.setattr(adapters, "open_detector", lambda _: Nobody())
    with Body(markers.write_artefact(tmp_path / "engine.onnx"), "detector.onnx") as body:
        keypoints, scores = body(np.zeros((96, 80, 3), np.uint8))
        assert (keypoints.shape, scores.shape) == ((0, 17, 2), (0, 17))
    assert closed == [True]
