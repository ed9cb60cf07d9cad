from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.cli.run import main
from amfac_edge.live import pose_line

if TYPE_CHECKING:
    from types import ModuleType

    from amfac_edge.live import PosedFrame

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "markers.cpu.fp32.onnx")
    return path


@pytest.fixture
def archive(markers: ModuleType, tmp_path: Path) -> Path:
    """Six pictures, one of them broken, and two videos of five frames between them."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for seed, name in enumerate(("a1.png", "a2.png", "c1.png", "c2.png", "c3.png")):
        cv2.imwrite(str(folder / name), markers.painted_crop(markers.spread_places(seed)))
    (folder / "a3.png").write_bytes(b"broken")
    for name in ("b1.avi", "d1.avi"):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (80, 96))
        for index in range(5):
            writer.write(np.full((96, 80, 3), 40 * index, np.uint8))
        writer.release()
    return folder


@pytest.fixture
def pictures(archive: Path) -> Path:
    for video in archive.glob("*.avi"):
        video.unlink()
    return archive


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def _whole(engine: Path, source: Path, path: Path) -> bytes:
    assert _run("--engine", engine, "--source", source, "--lines", path) == 0
    return path.read_bytes()


def test_shards_behind_each_other_are_a_single_run(
    engine: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _whole(engine, archive, tmp_path / "whole.jsonl")
    assert "skipped a3.png" in capsys.readouterr().err
    parts = [tmp_path / f"{index}.jsonl" for index in range(3)]
    for index, part in enumerate(parts):
        assert _run("--engine", engine, "--source", archive, "--shard", f"{index}/3", "--resume", "--lines", part) == 0
    assert b"".join(part.read_bytes() for part in parts) == whole
    places = [(record["name"], record["frame"]) for record in map(json.loads, whole.splitlines())]
    videos = [(name, frame) for name in ("b1.avi", "d1.avi") for frame in range(5)]
    assert places == [
        ("a1.png", 0),
        ("a2.png", 1),
        *videos[:5],
        ("c1.png", 3),
        ("c2.png", 4),
        ("c3.png", 5),
        *videos[5:],
    ]


def test_the_lines_are_those_of_a_plain_run(
    engine: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _whole(engine, pictures, tmp_path / "whole.jsonl")
    capsys.readouterr()
    assert _run("--engine", engine, "--source", pictures, "--json") == 0
    assert capsys.readouterr().out.encode() == whole


def test_wherever_it_was_cut_off_a_run_loses_and_repeats_nothing(engine: Path, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    whole = _whole(engine, archive, path)
    facts = (tmp_path / "lines.jsonl.json").read_bytes()
    rng = np.random.default_rng(0)
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in [0, *ends, *rng.integers(1, len(whole), 20).tolist()]:
        path.unlink()
        path.with_name("lines.jsonl.part").write_bytes(whole[:size])
        path.with_name("lines.jsonl.part.json").write_bytes(facts)
        assert _run("--engine", engine, "--source", archive, "--resume", "--lines", path) == 0
        assert path.read_bytes() == whole


def test_results_and_drawings_go_on_too(
    engine: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, plain = tmp_path / "whole", tmp_path / "plain.json"
    words = ("--engine", engine, "--source", pictures)
    assert _run(*words, "--results", plain) == 0
    for stop in range(5):
        folder = whole / str(stop)
        outputs = ("--lines", folder / "lines", "--results", folder / "results.json", "--save", folder / "drawn")
        _killed_at_line(monkeypatch, stop, [*words, *outputs])
        assert not (folder / "results.json").exists()
        assert _run(*words, *outputs, "--resume") == 0
        assert (folder / "results.json").read_bytes() == plain.read_bytes()
        assert len(list((folder / "drawn").iterdir())) == 5
        assert sorted(file.name for file in folder.iterdir()) == ["drawn", "lines", "lines.json", "results.json"]


def _killed_at_line(monkeypatch: pytest.MonkeyPatch, stop: int, words: list[object]) -> None:
    """Let a run die between the results of frame `stop` and its pose line, as if it were killed there."""

    class Killed(BaseException):
        pass

    lines = iter(range(stop))

    def dying(posed: PosedFrame) -> dict[str, object]:
        if next(lines, None) is None:
            raise Killed
        return pose_line(posed)

    with monkeypatch.context() as patch:
        patch.setattr("amfac_edge.cli.run_archive.pose_line", dying)
        with pytest.raises(Killed):
            _run(*words)


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_ends_with_the_same_lines(
    engine: Path, archive: Path, tmp_path: Path
) -> None:
    whole = _whole(engine, archive, tmp_path / "whole.jsonl")
    path, part = tmp_path / "lines.jsonl", tmp_path / "lines.jsonl.part"
    words = ["--engine", engine, "--source", archive, "--resume", "--lines", path, "--threads", 1]
    # Two lines further than where it is killed it waits for that, however long the killer takes.
    program = (
        "import sys, time; from pathlib import Path; from amfac_edge.cli import run, run_archive\n"
        "part, line = Path(sys.argv.pop(1)), run_archive.pose_line; most = int(sys.argv.pop(1))\n"
        "def slow(posed):\n"
        "    lines = part.read_bytes().count(b'\\n') if part.exists() else 0\n"
        "    time.sleep(60 if lines >= most else 0.05)\n"
        "    return line(posed)\n"
        "run_archive.pose_line = slow; sys.exit(run.main(sys.argv[1:]))"
    )
    for reached in (1, 4, 9):
        command = [sys.executable, "-c", program, part, reached + 2, *words]
        with subprocess.Popen([*map(str, command)], cwd=_ROOT, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and (part.read_bytes().count(b"\n") if part.exists() else 0) < reached:
                time.sleep(0.005)
            process.kill()
    assert not path.exists()
    assert _run(*words) == 0
    assert path.read_bytes() == whole


def test_what_is_done_is_not_done_again(
    engine: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    _whole(engine, archive, path)
    before = path.stat().st_mtime_ns
    assert _run("--engine", engine, "--source", archive, "--lines", path, "--resume") == 0
    assert "complete already" in capsys.readouterr().err
    assert path.stat().st_mtime_ns == before


def test_more_shards_than_files_leave_some_empty(engine: Path, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    assert _run("--engine", engine, "--source", archive, "--shard", "0/20", "--lines", path, "--resume") == 0
    assert path.read_bytes() == b""


def test_an_archive_that_grew_is_not_gone_on_with(
    engine: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    _whole(engine, archive, path)
    (archive / "e.png").write_bytes((archive / "a1.png").read_bytes())
    assert _run("--engine", engine, "--source", archive, "--lines", path, "--resume") == 2
    assert "its archive is" in capsys.readouterr().err


def test_a_shard_of_nothing_readable_is_an_error(
    engine: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--engine", engine, "--source", archive, "--shard", "2/8", "--lines", tmp_path / "lines.jsonl")
    assert _run(*words) == 2
    assert "none of the 1 files of this shard can be read; the first, a3.png" in capsys.readouterr().err
    assert not (tmp_path / "lines.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--resume", "--json"], "--resume needs --lines"),
        (["--shard", "0/2"], "has no output"),
        (["--shard", "2/2", "--json"], "of 2 parts the last one is 1/2"),
        (["--lines", "l", "--save", "drawn"], "can't go on with a video"),
        (["--lines", "l", "--frames", "5"], "--frames does not go with --lines"),
        (["--lines", "l", "--duration", "2"], "--duration does not go with --lines"),
        (["--lines", "l", "--results", "r.json"], "2 videos among 8"),
        (["--lines", "l", "--boxes", "boxes.json"], "2 videos among 8"),
    ],
)
def test_what_does_not_fit_is_refused(
    engine: Path,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("--engine", engine, "--source", archive, *words) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "l.part").exists()


def test_one_file_has_no_shards(engine: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--engine", engine, "--source", archive / "b1.avi", "--shard", "0/2", "--json") == 2
    assert "is one file" in capsys.readouterr().err


def test_one_video_goes_on_with_its_boxes_and_results(engine: Path, archive: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": frame, "bbox": [5, 5, 40, 60]} for frame in (0, 2, 4)]))
    words = ("--engine", engine, "--source", archive / "b1.avi", "--boxes", boxes)
    assert _run(*words, "--results", tmp_path / "plain.json") == 0
    assert _run(*words, "--lines", tmp_path / "lines", "--results", tmp_path / "results.json") == 0
    assert (tmp_path / "results.json").read_bytes() == (tmp_path / "plain.json").read_bytes()
    people = [len(json.loads(line)["people"]) for line in (tmp_path / "lines").read_text().splitlines()]
    assert people == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--deadline", "40"], "makes the clock decide"),
        (["--smooth"], "--smooth is about a video"),
    ],
)
def test_options_about_people_that_no_archive_of_both_can_keep_are_refused(
    engine: Path,
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    problem: str,
) -> None:
    assert _run("--engine", engine, "--source", archive, "--lines", tmp_path / "l", *words) == 2
    assert problem in capsys.readouterr().err


def test_a_video_whose_people_are_followed_is_begun_again(engine: Path, archive: Path, tmp_path: Path) -> None:
    for picture in archive.glob("*.png"):
        picture.unlink()
    path = tmp_path / "lines.jsonl"
    words = ("--engine", engine, "--source", archive, "--smooth", "--lines", path, "--resume")
    assert _run(*words) == 0
    whole, facts = path.read_bytes(), path.with_name("lines.jsonl.json").read_bytes()
    assert [json.loads(line)["people"][0]["id"] for line in whole.splitlines()] == [1] * 10
    for lines in (3, 5, 8):
        path.unlink()
        path.with_name("lines.jsonl.part").write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
        path.with_name("lines.jsonl.part.json").write_bytes(facts)
        assert _run(*words) == 0
        assert path.read_bytes() == whole


def test_a_camera_is_no_archive_and_its_password_is_not_told(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "rtsp://me:secret@127.0.0.1:1/door"
    assert _run("--engine", engine, "--source", source, "--lines", tmp_path / "l") == 2
    error = capsys.readouterr().err
    assert "is a camera, and --lines" in error
    assert "secret" not in error
