from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import Frame
from amfac_edge.errors import FrameError
from amfac_edge.live import BoxFile, CocoResults, FullFrame, PosedFrame, PoseLines, Tally, posed_frames
from amfac_edge.runtime import PoseEstimator, Poses, StageTimes, person_scores

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def _posed(name: str = "000000000139.jpg", index: int = 0, people: int = 1, image_id: int | None = None) -> PosedFrame:
    points = np.arange(people * 17 * 2, dtype=np.float32).reshape(people, 17, 2) + 0.25
    scores = np.full((people, 17), 0.5, np.float32)
    boxes = np.tile(np.array([10.5, 20, 40, 60.125], np.float32), (people, 1))
    frame = Frame(index, 0.04 * index, name, np.zeros((90, 120, 3), np.uint8))
    poses = Poses(points, scores, boxes)
    return PosedFrame(frame, poses, person_scores(scores, 0.5), image_id, StageTimes(1.0, 2.0 + index, 3.0))


def test_a_pose_line_has_what_the_interface_promises() -> None:
    stream = io.StringIO()
    PoseLines(stream).add(_posed("clip.mp4", index=3, people=2))
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["frame"], record["name"], record["time"]) == (3, "clip.mp4", 0.12)
    assert [person["id"] for person in record["people"]] == [1, 2]
    person = record["people"][0]
    assert person["box"] == [10.5, 20, 40, 60.125]
    assert person["score"] == 0.25
    assert len(person["keypoints"]) == 17
    assert person["keypoints"][1] == [2.25, 3.25, 0.5]


def test_an_empty_frame_is_a_line_without_people() -> None:
    stream = io.StringIO()
    PoseLines(stream).add(_posed(people=0))
    assert json.loads(stream.getvalue())["people"] == []


def test_coco_results_have_the_fields_that_evaluators_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with CocoResults(path, video=False) as results:
        results.add(_posed())
        results.add(_posed("street.jpg", index=7, people=0))
    (entry,) = json.loads(path.read_text())
    assert entry["bbox"] == [10.5, 20, 29.5, 40.125]
    assert (entry["image_id"], entry["category_id"], entry["score"]) == (139, 1, 0.25)
    assert len(entry["keypoints"]) == 51
    assert entry["keypoints"][3:6] == [2.25, 3.25, 0.5]


@pytest.mark.parametrize(
    ("posed", "video", "image_id"),
    [
        (_posed("000000000139.jpg", 7), False, 139),
        (_posed("000000000139.jpg", 7, image_id=5), False, 5),
        (_posed("street.jpg", 7), False, 7),
        (_posed("139.mp4", 7), True, 7),
    ],
)
def test_the_number_of_a_picture(tmp_path: Path, posed: PosedFrame, video: bool, image_id: int) -> None:  # noqa: FBT001
    with CocoResults(tmp_path / "results.json", video=video) as results:
        results.add(posed)
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert entry["image_id"] == image_id
    assert entry.get("file_name") == (None if video else posed.frame.name)


def test_an_interrupted_run_leaves_the_old_results(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    results = CocoResults(path, video=False)
    results.add(_posed())
    results.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_people_at_all_are_an_empty_list(tmp_path: Path) -> None:
    with CocoResults(tmp_path / "results.json", video=False):
        pass
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_results_can_be_given_back_as_boxes(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with CocoResults(path, video=False) as results:
        results.add(_posed("street.jpg", index=7, people=2))
    people = BoxFile(path, video=False).people(_posed("street.jpg", index=3).frame)
    np.testing.assert_allclose(people.boxes, [[10.5, 20, 40, 60.125]] * 2)
    np.testing.assert_allclose(people.scores, [0.25, 0.25])


def test_the_loop_gives_poses_with_their_scores(markers: ModuleType, tmp_path: Path) -> None:
    frames = [Frame(index, 0.0, f"{index}.png", np.zeros((96, 72, 3), np.uint8)) for index in range(3)]
    (tmp_path / "b.json").write_text(json.dumps([{"frame": 1, "bbox": [0, 0, 48, 64], "score": 0.5}] * 2))
    tally = Tally()
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx"), threads=1) as estimator:
        for posed in posed_frames(frames, estimator, BoxFile(tmp_path / "b.json", video=False)):
            tally.add(posed)
            assert len(posed.poses) == (2 if posed.frame.index == 1 else 0)
            np.testing.assert_allclose(posed.person_scores, posed.poses.scores.mean(axis=1) * 0.5)
    assert (tally.frames, tally.people, len(tally.times)) == (3, 2, 1)


def test_a_box_that_does_not_fit_names_its_frame(markers: ModuleType, tmp_path: Path) -> None:
    frame = Frame(4, 0.0, "small.png", np.zeros((10, 10, 3), np.uint8))
    (tmp_path / "b.json").write_text(json.dumps([{"frame": 4, "bbox": [20, 0, 48, 64]}]))
    with (
        PoseEstimator(markers.write_artefact(tmp_path / "m.onnx"), threads=1) as estimator,
        pytest.raises(FrameError, match=r"frame 4 of small\.png: box 0 .* lies outside"),
    ):
        list(posed_frames([frame], estimator, BoxFile(tmp_path / "b.json", video=False)))


def test_the_full_frame_is_one_person(markers: ModuleType, tmp_path: Path) -> None:
    frame = Frame(0, 0.0, "a.png", np.zeros((96, 72, 3), np.uint8))
    with PoseEstimator(markers.write_artefact(tmp_path / "m.onnx"), threads=1) as estimator:
        (posed,) = posed_frames([frame], estimator, FullFrame())
    assert posed.poses.boxes.tolist() == [[-0.5, -0.5, 71.5, 95.5]]


def test_times_are_the_medians_of_frames_with_people() -> None:
    tally = Tally()
    assert tally.median_times() is None
    for index in range(3):
        tally.add(_posed(index=index))
    tally.add(_posed(index=50, people=0))
    assert tally.median_times() == StageTimes(1.0, 3.0, 3.0)
