from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.cli.run import main

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "markers.cpu.fp32.onnx")
    return path


def _person(markers: ModuleType, seed: int = 0) -> tuple[NDArray[np.uint8], list[float], list[tuple[int, int]]]:
    """A picture; the box (x, y, width, height) whose crop has the picture's own pixels; the joints in the picture."""
    places = markers.spread_places(seed)
    picture = np.zeros((96, 80, 3), np.uint8)
    picture[20 : 20 + markers.HEIGHT, 10 : 10 + markers.WIDTH] = markers.painted_crop(places)
    width, height = markers.WIDTH / 1.25, markers.HEIGHT / 1.25
    box = [10 + (markers.WIDTH - 1 - width) / 2, 20 + (markers.HEIGHT - 1 - height) / 2, width, height]
    return picture, box, [(x + 10, y + 20) for x, y in places]


@pytest.fixture
def picture(markers: ModuleType, tmp_path: Path) -> Path:
    path = tmp_path / "000000000139.png"
    cv2.imwrite(str(path), _person(markers)[0])
    return path


@pytest.fixture
def folder(markers: ModuleType, tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    for seed, name in enumerate(("139.png", "785.png", "street.png")):
        cv2.imwrite(str(path / name), _person(markers, seed)[0])
    return path


def _film(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (80, 96))
    for index in range(frames):
        writer.write(np.full((96, 80, 3), index % 256, np.uint8))
    writer.release()
    return path


def _frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    frames = 0
    while capture.read()[0]:
        frames += 1
    capture.release()
    return frames


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def test_a_picture_with_a_box_gives_lines_results_and_a_drawing(
    markers: ModuleType, engine: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, box, joints = _person(markers)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 139, "bbox": box, "score": 0.5}]))
    save, results = tmp_path / "out" / "drawn.png", tmp_path / "out" / "results.json"
    words = ["--engine", engine, "--source", picture, "--boxes", boxes, "--save", save, "--results", results, "--json"]
    assert _run(*words) == 0

    out, err = capsys.readouterr()
    (line,) = [json.loads(text) for text in out.splitlines()]
    (person,) = line["people"]
    np.testing.assert_allclose([joint[:2] for joint in person["keypoints"]], joints, atol=1e-3)
    assert (line["frame"], person["id"], person["score"]) == (0, 1, 0.5)
    (entry,) = json.loads(results.read_text())
    assert entry["image_id"] == 139
    assert entry["score"] == 0.5
    np.testing.assert_allclose(entry["bbox"], box, atol=1e-3)
    np.testing.assert_allclose(np.reshape(entry["keypoints"], (17, 3))[:, :2], joints, atol=1e-3)
    drawn, source = cv2.imread(str(save)), cv2.imread(str(picture))
    assert drawn is not None
    assert source is not None
    assert drawn.shape == source.shape
    assert (drawn != source).any()
    assert "markers-64x48" not in err
    assert "marker-64x48 (cpu, fp32, " in err
    assert "1 picture, 1 person; median ms of a picture with people: crop " in err
    assert f"saved {results}: 1 person" in err
    assert f"amfac-bench {engine}" in err


def test_a_folder_gives_a_folder(
    markers: ModuleType, engine: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    box = _person(markers)[1]
    images = [{"id": number, "file_name": name} for number, name in enumerate(("139.png", "785.png", "gone.png"), 7)]
    annotations = [{"image_id": number, "bbox": box, "iscrowd": number == 8} for number in (7, 8, 9, 9)]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"images": images, "annotations": annotations}))
    save, results = tmp_path / "drawn", tmp_path / "results.json"
    assert _run("--engine", engine, "--source", folder, "--boxes", boxes, "--save", save, "--results", results) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(path.name for path in save.iterdir()) == ["139.png", "785.png", "street.png"]
    (entry,) = json.loads(results.read_text())
    assert (entry["image_id"], entry["file_name"]) == (7, "139.png")
    assert "3 pictures, 1 person" in err
    assert "skipped broken.png: " in err
    assert "not pictures: notes.txt" in err
    assert "2 boxes of frames that are not in the source: gone.png" in err
    assert "1 box of crowds or of other things" in err


def test_boxes_of_other_pictures_are_a_mistake(
    engine: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"file_name": "elsewhere.png", "bbox": [0, 0, 9, 9]}]))
    assert _run("--engine", engine, "--source", picture, "--boxes", boxes) == 2
    err = capsys.readouterr().err
    assert f"{boxes}: none of its boxes is of a frame of the source: they are of elsewhere.png" in err


def test_a_whole_frame_as_one_person_is_said_where_nobody_chose_it(
    engine: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--engine", engine, "--source", picture) == 0
    assert "each whole picture is taken as one person" in capsys.readouterr().err
    assert _run("--engine", engine, "--source", picture, "--boxes", "full") == 0
    assert "taken as one person" not in capsys.readouterr().err


def test_a_video_gives_a_video_and_a_line_for_each_frame(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, save, boxes = _film(tmp_path / "film.avi", 12), tmp_path / "poses.mp4", tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"frame": 5, "bbox": [10, 10, 40, 50]}]))
    assert _run("--engine", engine, "--source", film, "--save", save, "--boxes", boxes, "--json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(text) for text in out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert [len(line["people"]) for line in lines] == [0] * 5 + [1] + [0] * 6
    assert lines[5]["time"] == pytest.approx(0.2, abs=0.041)
    assert _frames_of(save) == 12
    assert f"saved {save}: 12 frames" in err


def test_without_boxes_the_whole_frame_is_one_person(
    engine: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--engine", engine, "--source", picture, "--json") == 0
    out, err = capsys.readouterr()
    assert [person["box"] for person in json.loads(out)["people"]] == [[-0.5, -0.5, 79.5, 95.5]]
    assert f"amfac-run --engine {engine} --source {picture} --save PATH" in err


@pytest.mark.parametrize(("trained", "noted"), [(False, True), (None, False), (True, False)])
def test_untrained_weights_are_said_on_the_picture(
    markers: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trained: bool | None,  # noqa: FBT001
    noted: bool,  # noqa: FBT001
) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 300, 3), 200, np.uint8))
    engine = markers.write_artefact(tmp_path / "m.onnx", trained=trained)
    words = ["--engine", engine, "--source", tmp_path / "grey.png", "--save", tmp_path / "drawn.png"]
    assert _run(*words, "--min-score", 1) == 0
    drawn = cv2.imread(str(tmp_path / "drawn.png"))
    assert drawn is not None
    assert bool(drawn[-2, 150].max() < 100) == noted
    assert ("untrained weights: joints mean nothing" in capsys.readouterr().err) == noted


def test_joints_below_the_lowest_score_are_not_drawn(
    markers: ModuleType, engine: Path, picture: Path, tmp_path: Path
) -> None:
    words = ["--engine", engine, "--source", picture, "--results", tmp_path / "results.json", "--save"]
    assert _run(*words, tmp_path / "all.png") == 0
    assert _run(*words, tmp_path / "none.png", "--min-score", "1") == 0
    everything, nothing = (cv2.imread(str(tmp_path / name)) for name in ("all.png", "none.png"))
    # The full frame shrinks the markers, so that no joint is certain.
    assert max(json.loads((tmp_path / "results.json").read_text())[0]["keypoints"][2::3]) < 1
    assert everything is not None
    assert nothing is not None
    assert (everything != nothing).any()
    np.testing.assert_array_equal(nothing[5:-5, 5:-5], _person(markers)[0][5:-5, 5:-5])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-score", "2"], "--min-score 2 is not within 0 and 1"),
        (["--min-score", "nan"], "--min-score nan is not within"),
        (["--threads", "0"], "threads=0 is not within 1 and 1024"),
        (["--save", "drawn.mp4"], "a picture is saved as a picture"),
        (["--save", "drawn.gif"], "drawn.gif: .gif is no kind of picture that is written"),
        (["--save", ""], "--save is empty: a variable that is not set, perhaps"),
        (["--save", "000000000139.png"], "would overwrite what is read from there"),
        (["--results", "markers.cpu.fp32.onnx"], "would overwrite what is read from there"),
        (["--boxes", "none.json"], "the file of boxes does not exist"),
        (["--source", "none.jpg"], "none.jpg: the source does not exist"),
        (["--engine", "none.onnx"], "none.onnx: no such file"),
        (["--engine", "000000000139.png"], "000000000139.png: "),
        (["--detector", "x.onnx"], "x.onnx: no such file"),
    ],
)
@pytest.mark.usefixtures("picture")
def test_what_can_not_be_done_is_one_error(
    engine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert _run("--engine", engine, "--source", "000000000139.png", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "save", "message"),
    [
        ("pictures", "drawn.png", "a folder of pictures is saved as a folder"),
        ("pictures", "drawn.mp4", "a folder of pictures is saved as a folder"),
        ("pictures", "pictures", "would overwrite"),
        ("film.avi", "drawn.png", "a video is saved as a video"),
        ("film.avi", "drawn", "a video is saved as a video"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_source_is_saved_as_what_it_is(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, save: str, message: str
) -> None:
    _film(tmp_path / "film.avi", 2)
    assert _run("--engine", engine, "--source", tmp_path / source, "--save", tmp_path / save) == 2
    assert message in capsys.readouterr().err


def test_an_error_is_json_where_json_was_asked_for(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--engine", engine, "--source", tmp_path / "none.png", "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["exit_code"]) == ("FrameError", 2)


def test_an_error_on_the_way_leaves_the_old_files(engine: Path, tmp_path: Path) -> None:
    film, save, results, boxes = (tmp_path / name for name in ("film.avi", "poses.avi", "results.json", "boxes.json"))
    _film(film, 6)
    save.write_text("old video")
    results.write_text("old results")
    boxes.write_text(json.dumps([{"frame": 4, "bbox": [500, 500, 40, 50]}]))
    words = ["--engine", engine, "--source", film, "--save", save, "--results", results, "--boxes", boxes]
    assert _run(*words) == 2
    assert (save.read_text(), results.read_text()) == ("old video", "old results")


def test_ctrl_c_keeps_the_video_and_the_old_results(engine: Path, tmp_path: Path) -> None:
    film, save, results = _film(tmp_path / "film.avi", 2000), tmp_path / "poses.avi", tmp_path / "results.json"
    results.write_text("old results")
    program = "import sys; from amfac_edge.cli.run import main; sys.exit(main())"
    words = ["--engine", engine, "--source", film, "--save", save, "--results", results, "--json", "--threads", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
    ) as command:
        assert command.stdout is not None
        json.loads(command.stdout.readline())
        # The pipe holds fewer than 2,000 lines: the command can't end before it is interrupted.
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    assert command.returncode == 130, err
    assert "Traceback" not in err
    assert f"not written: {results}" in err
    assert results.read_text() == "old results"
    saved = _frames_of(save)
    assert 1 <= saved < 2000
    assert abs(saved - 1 - len(out.splitlines())) <= 1
    assert not list(tmp_path.glob(".*"))
