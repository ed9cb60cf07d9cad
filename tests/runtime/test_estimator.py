from __future__ import annotations

import dataclasses
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError, MissingExtraError, ModelFileError
from amfac_edge.runtime import PoseEstimator, person_scores
from amfac_edge.sessions import open_session

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

Boxes = list[tuple[float, float, float, float]]


def _scene(markers: ModuleType, people: int, seed: int = 0) -> tuple[NDArray[np.uint8], Boxes, NDArray[np.float64]]:
    """A frame of people whose crops are copies of frame pixels: boxes of which one crop pixel is one frame pixel."""
    rng = np.random.default_rng(seed)
    height, width = markers.HEIGHT, markers.WIDTH
    frame = np.zeros((2 * height, people * width, 3), np.uint8)
    boxes, joints = [], []
    for person in range(people):
        left, top = person * width, int(rng.integers(0, height))
        places = markers.spread_places(seed * 100 + person)
        frame[top : top + height, left : left + width] = markers.painted_crop(places)
        centre_x, centre_y = left + (width - 1) / 2, top + (height - 1) / 2
        half_x, half_y = width / 1.25 / 2, height / 1.25 / 2
        boxes.append((centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y))
        joints.append([(left + x, top + y) for x, y in places])
    return frame, boxes, np.array(joints, np.float64)


@pytest.mark.parametrize("batch", ["1", "1-4", "3"])
@pytest.mark.parametrize("people", [1, 2, 5])
def test_joints_come_back_in_frame_pixels(markers: ModuleType, tmp_path: Path, batch: str, people: int) -> None:
    frame, boxes, joints = _scene(markers, people)
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx", batch=batch)) as estimator:
        poses = estimator(frame, boxes)
    assert len(poses) == people
    assert poses.keypoints.dtype == poses.scores.dtype == poses.boxes.dtype == np.float32
    # One crop pixel is one frame pixel here; what is left is the float32 result.
    np.testing.assert_allclose(poses.keypoints, joints, atol=1e-4)
    np.testing.assert_array_equal(poses.scores, np.ones((people, 17)))
    np.testing.assert_array_equal(poses.boxes, np.array(boxes, np.float32))


def test_a_scaled_box_scales_the_joints(markers: ModuleType, tmp_path: Path) -> None:
    frame, boxes, joints = _scene(markers, 1)
    # Nearest-neighbour enlargement around pixel centres: small pixel (x, y) covers 3x3 pixels around (3x + 1, 3y + 1).
    large = np.repeat(np.repeat(frame, 3, axis=0), 3, axis=1)
    box = np.array(boxes) * 3 + 1
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx")) as estimator:
        poses = estimator(large, box)
    np.testing.assert_allclose(poses.keypoints, joints * 3 + 1, atol=1e-3)


def test_frames_of_every_layout_give_the_same(markers: ModuleType, tmp_path: Path) -> None:
    frame, boxes, joints = _scene(markers, 2)
    four = np.dstack([frame, np.full(frame.shape[:2], 99, np.uint8)])
    four.flags.writeable = False
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx")) as estimator:
        for other in (four, np.asfortranarray(frame), np.repeat(frame, 2, axis=1)[:, ::2], four[..., :3]):
            np.testing.assert_allclose(estimator(other, boxes).keypoints, joints, atol=1e-4)


def test_a_session_that_takes_no_frames_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    session = _NeverRuns(markers.write_artefact(tmp_path / "m.onnx"))
    session.manifest = dataclasses.replace(session.manifest, input_kind="frame")
    with pytest.raises(ModelFileError, match=r"marker-64x48: it takes whole frames, and the session of .* doesn't"):
        PoseEstimator.over(session)


def test_a_crowd_goes_through_in_rounds(markers: ModuleType, tmp_path: Path) -> None:
    frame, boxes, joints = _scene(markers, 70)
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx", batch="1-5")) as estimator:
        poses = estimator(frame, boxes)
        assert len(estimator._buffers.crops) == 35
    np.testing.assert_allclose(poses.keypoints, joints, atol=1e-3)


class _NeverRuns:
    def __init__(self, path: Path) -> None:
        with open_session(path) as session:
            self.manifest, self.settings = session.manifest, session.settings

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        raise AssertionError(crops.shape)

    def close(self) -> None:
        pass

    def __enter__(self) -> _NeverRuns:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("nobody", [None, [], (), np.zeros((0, 4))])
def test_nobody_in_the_frame_runs_nothing(
    markers: ModuleType, tmp_path: Path, nobody: NDArray[np.float64] | None
) -> None:
    estimator = PoseEstimator.over(_NeverRuns(markers.write_artefact(tmp_path / "m.onnx")))
    poses, times = estimator.timed(np.zeros((90, 120, 3), np.uint8), nobody)
    assert (poses.keypoints.shape, poses.scores.shape, poses.boxes.shape) == ((0, 17, 2), (0, 17), (0, 4))
    assert (len(poses), times) == (0, (0.0, 0.0, 0.0))


def test_threads_at_once_give_what_one_after_the_other_gives(markers: ModuleType, tmp_path: Path) -> None:
    scenes = [_scene(markers, 1 + seed % 4, seed) for seed in range(24)]
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx", batch="1-2"), threads=1) as estimator:
        serial = [estimator(frame, boxes).keypoints for frame, boxes, _ in scenes]
        together = threading.Barrier(6)

        def work(first: int) -> list[NDArray[np.float32]]:
            together.wait(timeout=30)
            return [estimator(frame, boxes).keypoints for _ in range(5) for frame, boxes, _ in scenes[first::6]]

        with ThreadPoolExecutor(6) as pool:
            for first, found in enumerate(pool.map(work, range(6))):
                for keypoints, expected in zip(found, serial[first::6] * 5, strict=True):
                    np.testing.assert_array_equal(keypoints, expected)


def test_results_do_not_change_when_the_next_frame_comes(markers: ModuleType, tmp_path: Path) -> None:
    (frame, boxes, joints), (other, other_boxes, _) = _scene(markers, 2, 1), _scene(markers, 2, 2)
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx")) as estimator:
        poses = estimator(frame, boxes)
        estimator(other, other_boxes)
    np.testing.assert_allclose(poses.keypoints, joints, atol=1e-4)


def test_what_the_estimator_says_of_itself(markers: ModuleType, tmp_path: Path) -> None:
    with PoseEstimator(str(markers.write_artefact(tmp_path / "m.onnx")), threads=1) as estimator:
        assert estimator.manifest.recipe.name == "marker-64x48"
        assert estimator.skeleton.name == "coco-17"
        assert estimator.input_size == (64, 48)
        assert estimator.settings.threads == 1


def test_the_stages_are_timed(markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = _NeverRuns(markers.write_artefact(tmp_path / "m.onnx"))

    def slow(_: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        time.sleep(0.02)
        return np.zeros((1, 17, 2), np.float32), np.ones((1, 17), np.float32)

    monkeypatch.setattr(session, "run", slow)
    started = time.perf_counter()
    times = PoseEstimator.over(session).timed(np.zeros((90, 120, 3), np.uint8), [(0, 0, 9, 9)])[1]
    assert times.crop_ms > 0
    assert times.network_ms >= 20
    assert times.decode_ms > 0
    assert sum(times) <= (time.perf_counter() - started) * 1e3


def test_a_closed_estimator_says_so(markers: ModuleType, tmp_path: Path) -> None:
    estimator = PoseEstimator(markers.write_artefact(tmp_path / "m.onnx"))
    estimator.close()
    estimator.close()
    with pytest.raises(InputError, match="this PoseEstimator is closed"):
        estimator(np.zeros((90, 120, 3), np.uint8), None)


def test_a_frame_that_was_not_read_is_refused(markers: ModuleType, tmp_path: Path) -> None:
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx")) as estimator:
        with pytest.raises(FrameError, match="the frame is a NoneType"):
            estimator(cv2.imread(str(tmp_path / "none.png")), None)  # type: ignore[arg-type]
        with pytest.raises(FrameError, match=r"box 1 .* not finite"):
            estimator(np.zeros((90, 120, 3), np.uint8), [(0, 0, 9, 9), (0, 0, 9, np.nan)])


def test_scores_that_are_not_finite_are_an_error(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _NeverRuns(markers.write_artefact(tmp_path / "m.onnx"))
    outputs = np.zeros((1, 17, 2), np.float32), np.full((1, 17), np.nan, np.float32)
    monkeypatch.setattr(session, "run", lambda _: outputs)
    with pytest.raises(ModelFileError, match="marker-64x48 gave scores that are not finite"):
        PoseEstimator.over(session)(np.zeros((90, 120, 3), np.uint8), [(0, 0, 9, 9)])


def test_a_missing_opencv_is_told_before_the_first_frame(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = markers.write_artefact(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'opencv-python, which .*\n  pip install "amfac-edge\[cpu\]"'):
        PoseEstimator(artefact)


def test_a_persons_score_is_the_mean_of_the_joints_times_the_box() -> None:
    scores = np.array([[0.5, 1.0], [0.25, 0.75]], np.float32)
    np.testing.assert_allclose(person_scores(scores), [0.75, 0.5])
    np.testing.assert_allclose(person_scores(scores, [0.5, 0.1]), [0.375, 0.05])
    assert person_scores(np.zeros((0, 17), np.float32), []).shape == (0,)
