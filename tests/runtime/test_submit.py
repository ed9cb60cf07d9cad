"""Frames submitted behind the caller: the same poses, and a network that works while the next crops are cut."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError, ModelFileError
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import open_session

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

BOXES = [(10, 10, 60, 90), (40, 5, 100, 110), (0, 0, 30, 30)]


def _frames(count: int) -> list[NDArray[np.uint8]]:
    return [np.random.default_rng(seed).integers(0, 256, (120, 160, 3), np.uint8) for seed in range(count)]


@pytest.mark.parametrize("people", [0, 1, 3, 40])
def test_poses_are_those_of_a_call(markers: ModuleType, tmp_path: Path, people: int) -> None:
    boxes = (BOXES * 14)[:people]
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx", batch="1-4")) as estimator:
        frames = _frames(5)
        tickets = [estimator.submit(frame, boxes) for frame in frames]
        for frame, ticket in zip(frames, tickets, strict=True):
            expected, found = estimator(frame, boxes), ticket.result()
            np.testing.assert_array_equal(found.keypoints, expected.keypoints)
            np.testing.assert_array_equal(found.scores, expected.scores)
            np.testing.assert_array_equal(found.boxes, expected.boxes)
            assert found.keypoints.dtype == found.scores.dtype == found.boxes.dtype == np.float32


@pytest.mark.parametrize("kind", ["crops", "frame"])
def test_a_frame_may_be_overwritten_at_once(
    markers: ModuleType, made_frame_network: ModuleType, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "m.onnx"
    if kind == "crops":
        markers.write_artefact(path, batch="1-4")
    else:
        made_frame_network.write_artefact(path, markers.RECIPE)
    with PoseEstimator(path) as estimator:
        frames = _frames(4)
        expected = [estimator(frame, BOXES).keypoints for frame in frames]
        camera, tickets = np.empty_like(frames[0]), []
        for frame in frames:
            camera[...] = frame
            tickets.append(estimator.submit(camera, BOXES))
            camera[...] = 7
        np.testing.assert_array_equal([ticket.result().keypoints for ticket in tickets], expected)


class _Waits:
    """A session that says when it has begun, and ends when it is told to."""

    def __init__(self, path: Path) -> None:
        with open_session(path) as session:
            self.manifest, self.settings = session.manifest, session.settings
        self.begun, self.go_on, self.closed = threading.Event(), threading.Event(), False
        self.bad = False

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.begun.set()
        assert self.go_on.wait(10)
        scores = np.full((len(crops), 17), np.nan if self.bad else 0.5, np.float32)
        return np.zeros((len(crops), 17, 2), np.float32), scores

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> _Waits:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_the_next_crops_are_cut_while_the_network_works(markers: ModuleType, tmp_path: Path) -> None:
    session = _Waits(markers.write_artefact(tmp_path / "m.onnx"))
    estimator = PoseEstimator.over(session)
    first = estimator.submit(_frames(1)[0], BOXES)
    assert session.begun.wait(10)
    second = estimator.submit(_frames(1)[0], BOXES)  # returns: its crops are cut
    assert not first.is_done
    assert not second.is_done
    session.go_on.set()
    assert len(first.result()) == len(second.result()) == 3
    estimator.close()
    assert session.closed


def test_closing_waits_for_what_was_submitted(markers: ModuleType, tmp_path: Path) -> None:
    session = _Waits(markers.write_artefact(tmp_path / "m.onnx"))
    estimator = PoseEstimator.over(session)
    ticket = estimator.submit(_frames(1)[0], BOXES)
    threading.Timer(0.05, session.go_on.set).start()
    estimator.close()
    assert session.closed
    assert len(ticket.result()) == 3
    with pytest.raises(InputError, match="this PoseEstimator is closed"):
        estimator.submit(_frames(1)[0], BOXES)


def test_bad_frames_are_told_at_once_and_bad_results_by_the_ticket(markers: ModuleType, tmp_path: Path) -> None:
    session = _Waits(markers.write_artefact(tmp_path / "m.onnx"))
    session.bad = True
    session.go_on.set()
    with PoseEstimator.over(session) as estimator:
        with pytest.raises(FrameError, match="dtype float64"):
            estimator.submit(np.zeros((9, 9, 3)), BOXES)  # type: ignore[arg-type]
        ticket = estimator.submit(_frames(1)[0], BOXES)
        with pytest.raises(ModelFileError, match="scores that are not finite"):
            ticket.result()
