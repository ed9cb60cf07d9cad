from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge import PoseEstimator
from amfac_edge.errors import FrameError, InputError, ModelFileError
from amfac_edge.people import Detector, open_detector
from amfac_edge.people import detector as detector_module
from amfac_edge.sessions import SessionSettings

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts


@pytest.fixture
def cells(cell_detector: ModuleType, tmp_path: Path) -> Path:
    path: Path = cell_detector.write_detector(tmp_path / "cells.onnx")
    return path


def _frame(height: int, width: int, *bright: tuple[slice, slice, int]) -> NDArray[np.uint8]:
    frame = np.full((height, width, 3), 9, np.uint8)
    for rows, columns, level in bright:
        frame[rows, columns] = level
    return frame


def test_people_come_back_in_frame_pixels_the_best_first(cells: Path) -> None:
    # Twice the input's size: a cell is 32 x 32 pixels of the frame.
    frame = _frame(128, 192, (slice(0, 32), slice(32, 64), 204), (slice(96, 128), slice(160, 192), 255))
    with open_detector(cells) as detector:
        boxes, scores = detector(frame)
    assert boxes.dtype == scores.dtype == np.float64
    np.testing.assert_allclose(scores, [1.0, 0.8], atol=1e-6)
    # The edges between pixels: a box of the first pixel alone would reach from -0.5 to 0.5.
    np.testing.assert_allclose(boxes, [[159.5, 95.5, 191.5, 127.5], [31.5, -0.5, 63.5, 31.5]])


def test_the_way_back_is_that_of_the_letterbox(cells: Path) -> None:
    # 64 x 64: fits without scaling, the last two columns of cells are grey 114, which is .45 of 255.
    with open_detector(cells, min_score=0.5) as detector:
        boxes, _ = detector(_frame(64, 64, (slice(16, 32), slice(48, 64), 255)))
        np.testing.assert_allclose(boxes, [[47.5, 15.5, 63.5, 31.5]])
    with open_detector(cells, min_score=0.4) as detector:
        boxes, scores = detector(_frame(64, 64))
    # What lies in the grey part isn't in the frame.
    assert len(boxes) == len(scores) == 0


def test_nobody_is_arrays_without_rows(cells: Path) -> None:
    with open_detector(cells) as detector:
        boxes, scores = detector(_frame(64, 96))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_frames_are_what_the_estimator_takes_too(cells: Path) -> None:
    with open_detector(cells) as detector:
        frame = _frame(64, 96, (slice(0, 16), slice(0, 16), 250))
        expected = detector(frame).boxes
        np.testing.assert_array_equal(detector(frame[..., 0]).boxes, expected)
        np.testing.assert_array_equal(detector(np.dstack([frame, frame[..., :1]])).boxes, expected)
        with pytest.raises(FrameError, match="dtype float64"):
            detector(frame.astype(np.float64))


class _Session:
    """Gives the same candidates for every frame."""

    def __init__(self, facts: DetectorFacts, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        self.facts, self._results = facts, (boxes[None], scores[None])
        self.settings = SessionSettings("none", "none", 1, spinning=False)
        self.is_closed = False

    def run_images(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert images.shape == (1, 64, 96, 3)
        return self._results

    def close(self) -> None:
        self.is_closed = True


def _people(cell_detector: ModuleType, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Detector:
    return Detector(_Session(cell_detector.FACTS, boxes, scores))


def test_one_person_is_found_once(cell_detector: ModuleType) -> None:
    boxes = np.array([[10, 10, 30, 50], [11, 10, 31, 50], [60, 10, 80, 50], [10, 10, 30, 22]], np.float32)
    found = _people(cell_detector, boxes, np.array([0.8, 0.9, 0.5, 0.1], np.float32))(_frame(64, 96))
    np.testing.assert_allclose(found.scores, [0.9, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.boxes, boxes[[1, 2]] - 0.5)


def test_ten_thousand_boxes_are_cut_to_the_best(cell_detector: ModuleType) -> None:
    random = np.random.default_rng(3)
    corners = random.uniform(0, (90, 58), (10_000, 2)).astype(np.float32)
    scores = random.uniform(0.3, 1, 10_000).astype(np.float32)
    found = _people(cell_detector, np.hstack([corners, corners + 4]), scores)(_frame(64, 96))
    assert 100 < len(found.boxes) <= 300
    assert found.scores[0] == pytest.approx(float(scores.max()))
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("where", ["boxes", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_no_people(cell_detector: ModuleType, where: str, value: float) -> None:
    boxes, scores = np.array([[10, 10, 30, 50]], np.float32), np.array([0.9], np.float32)
    (boxes if where == "boxes" else scores).flat[0] = value
    with pytest.raises(ModelFileError, match="the detector cells gave boxes or scores that are not finite"):
        _people(cell_detector, boxes, scores)(_frame(64, 96))


def test_nan_of_a_network_is_an_error(cell_detector: ModuleType, tmp_path: Path) -> None:
    path = cell_detector.write_detector(tmp_path / "broken.onnx", broken=True)
    frame = _frame(64, 96)
    with open_detector(path) as detector:
        assert len(detector(frame).boxes) == 0
        frame[:16, :16] = 0
        with pytest.raises(ModelFileError, match="not finite"):
            detector(frame)


def test_what_has_no_area_in_the_frame_is_dropped(cell_detector: ModuleType) -> None:
    boxes = np.array([[20, 10, 20, 50], [80, 10, 70, 50], [-40, 10, -5, 50], [10, 10, 30, 50]], np.float32)
    found = _people(cell_detector, boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32))(_frame(64, 96))
    np.testing.assert_allclose(found.scores, [0.6], atol=1e-6)


def test_a_pose_network_is_no_detector_and_a_detector_no_pose_network(
    markers: ModuleType, cells: Path, tmp_path: Path
) -> None:
    poses = markers.write_artefact(tmp_path / "poses.onnx")
    with pytest.raises(ModelFileError, match=r"poses\.onnx: this is a pose network, not a person detector"):
        open_detector(poses)
    with pytest.raises(ModelFileError, match=r"cells\.onnx: this is a person detector, not a pose network"):
        PoseEstimator(cells)


def test_tensors_that_are_not_the_manifests_are_refused(cells: Path) -> None:
    beside = cells.with_name("cells.onnx.json")
    described = json.loads(beside.read_text())
    described["detector"]["candidates"] += 1
    beside.write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match=r"boxes is float32 \(1, 24, 4\), not float32 \(1, 25, 4\)"):
        open_detector(cells)


def test_an_artefact_without_its_manifest_still_says_what_it_is(cell_detector: ModuleType, tmp_path: Path) -> None:
    path = cell_detector.write_detector(tmp_path / "alone.onnx", manifest=False)
    with open_detector(path) as detector:
        assert detector.facts == cell_detector.FACTS


def test_a_closed_detector_says_so(cells: Path) -> None:
    detector = open_detector(cells)
    detector.close()
    detector.close()
    with pytest.raises(InputError, match="closed"):
        detector(_frame(64, 96))


def test_what_fails_while_opening_leaves_nothing_open(
    cell_detector: ModuleType, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _Session(cell_detector.FACTS, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    monkeypatch.setattr(detector_module, "open_detector_session", lambda *_, **__: session)
    with pytest.raises(InputError, match="score of 2 is not within 0 and 1"):
        open_detector(cells, min_score=2)
    assert session.is_closed
