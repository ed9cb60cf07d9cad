"""People on real videos, with a public detector and the released network: no golden numbers, only what must hold."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge import PoseEstimator
from amfac_edge.cameras import open_source
from amfac_edge.cli.export import main as export
from amfac_edge.people import FollowedPeople, PeopleFollower, open_detector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amfac_edge.people import Detector

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_WEIGHTS = Path(__file__).parents[2] / "export" / "checkpoints" / "amfacpose-r18-128x128-crowdpose.safetensors"


@pytest.fixture(scope="module")
def networks(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PoseEstimator, dict[str, Detector]]]:
    if not _WEIGHTS.is_file():
        pytest.skip("no released weights in this tree")
    pytest.importorskip("torch", reason="exports from a checkpoint: make test has torch, a board has not")
    out, models = tmp_path_factory.mktemp("artefacts"), shared_data / "models"
    names = ("rtmdet_nano_person", "yolox_nano")
    for path in (_WEIGHTS, *(models / f"{name}.onnx" for name in names)):
        assert export([str(path), "--target", "cpu", "--out", str(out)]) == 0
    with PoseEstimator(out / f"{_WEIGHTS.stem}.cpu.fp32.onnx", threads=1) as estimator:
        detectors = {name: open_detector(out / f"{name}.cpu.fp32.onnx", threads=1) for name in names}
        yield estimator, detectors
        for detector in detectors.values():
            detector.close()


def _followed(
    video: Path, estimator: PoseEstimator, detector: Detector, every: int, frames: range
) -> list[FollowedPeople]:
    follower = PeopleFollower(estimator.skeleton, every=every, smoothing=None)
    told = []
    for frame in itertools.islice(open_source(video), frames.start, frames.stop):
        poses = estimator(frame.image, follower.boxes(frame.image, frame.time, detector))
        told.append(follower.update(poses.keypoints, poses.scores))
    return told


@pytest.mark.parametrize("name", ["rtmdet_nano_person", "yolox_nano"])
def test_boxes_from_poses_find_the_same_joints_with_a_tenth_of_the_looks(
    networks: tuple[PoseEstimator, dict[str, Detector]], shared_data: Path, name: str
) -> None:
    estimator, detectors = networks
    video = shared_data / "video" / "pose_1.mp4"
    always = _followed(video, estimator, detectors[name], 1, range(120))
    seldom = _followed(video, estimator, detectors[name], 10, range(120))
    assert [people.ids.tolist() for people in always] == [people.ids.tolist() for people in seldom] == [[1]] * 120
    assert sum(people.asked for people in always) == 120
    assert sum(people.asked for people in seldom) <= 0.2 * 120
    gaps = [
        np.linalg.norm(one.keypoints[0] - other.keypoints[0], axis=1) / (one.boxes[0, 2:] - one.boxes[0, :2]).max()
        for one, other in zip(always, seldom, strict=True)
    ]
    assert np.median(gaps) < 0.05
    assert (np.array(gaps) < 0.1).mean() > 0.9


def test_people_who_come_one_by_one_have_one_id_each_and_nobody_is_invented(
    networks: tuple[PoseEstimator, dict[str, Detector]], shared_data: Path
) -> None:
    estimator, detectors = networks
    video = shared_data / "video" / "one-by-one-person-detection.mp4"
    told = _followed(video, estimator, detectors["rtmdet_nano_person"], 10, range(30, 300))
    ids = [people.ids.tolist() for people in told]
    # Seen by eye: somebody from 60 to 197, nobody, somebody else from 226 on.
    assert ids[: 58 - 30] == [[]] * 28
    assert ids[66 - 30 : 190 - 30] == [[1]] * 124
    assert ids[201 - 30 : 225 - 30] == [[]] * 24
    assert ids[235 - 30 :] == [[2]] * 65
