"""amfac-run with a bound, with figures, and on a camera."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.cli.run import main

if TYPE_CHECKING:
    from types import ModuleType

cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> str:
    return str(markers.write_artefact(tmp_path / "markers.cpu.fp32.onnx"))


@pytest.fixture
def film(tmp_path: Path) -> str:
    """20 frames at 10 fps."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(20):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    return str(path)


@pytest.mark.parametrize(("bound", "frames"), [(["--frames", "3"], 3), (["--duration", "0.5"], 5)])
def test_a_run_ends_where_it_is_told(
    engine: str, film: str, bound: list[str], frames: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--engine", engine, "--source", film, "--json", *bound]) == 0
    assert len(capsys.readouterr().out.splitlines()) == frames


def test_figures_of_a_run(engine: str, film: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stats = tmp_path / "stats.jsonl"
    assert main(["--engine", engine, "--source", film, "--stats", str(stats)]) == 0
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert sum(line["frames"] for line in lines) == lines[-1]["total"] == 20
    assert lines[-1]["arrived"] is None
    assert set(lines[-1]["stages_ms"]) == {"boxes", "crop", "network", "decode"}
    assert " fps; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames", "0"], "--frames 0 is not above 0"),
        (["--duration", "-1"], "--duration -1 is not above 0"),
        (["--duration", "nan"], "--duration nan is not above 0"),
        (["--stats-every", "-1"], "--stats-every -1 is below 0"),
        (["--stats", "-", "--json"], "would mix on standard output"),
        (["--stats", "x.jsonl", "--stats-every", "0"], "would write nothing"),
        (["--give-up", "3"], "is about a camera"),
    ],
)
def test_what_can_not_be_meant(
    engine: str, film: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--engine", engine, "--source", film, *words]) == 2
    assert message in capsys.readouterr().err


def test_figures_overwrite_nothing_that_is_read(engine: str, film: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(film).read_bytes()
    assert main(["--engine", engine, "--source", film, "--stats", film]) == 2
    assert "film.avi" in capsys.readouterr().err
    assert Path(film).read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_lines_on_a_full_disk_end_in_one_error(
    engine: str, film: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its buffer is a line, so that nothing is left to be written when it is closed.
    full = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails, as it should
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["--engine", engine, "--source", film, "--json"]) == 2
    with contextlib.suppress(OSError):
        full.close()
    assert "the disk is full: the pose lines end before frame 0" in capsys.readouterr().err


def test_results_of_a_camera_need_an_end(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", engine, "--source", "rtsp://u:hush@127.0.0.1/a", "--results", "r.json"]) == 2
    err = capsys.readouterr().err
    assert "Give --frames or --duration" in err
    assert "hush" not in err


def test_a_camera_that_is_not_there(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", engine, "--source", "v4l2:///dev/video99"]) == 2
    assert "/dev/video99: can't be opened" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_playable_video_of_a_camera(
    made_rtsp: Any,  # noqa: ANN401
    engine: str,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    saved = tmp_path / "live.mp4"
    program = "import sys; from amfac_edge.cli.run import main; sys.exit(main())"
    with made_rtsp.RtspCamera(tmp_path) as camera:
        words = ["--engine", engine, "--source", camera.with_password, "--save", str(saved), "--json"]
        run = subprocess.Popen(
            [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert run.stdout is not None
        lines = [run.stdout.readline() for _ in range(30)]
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == code
    assert "hush" not in err + "".join(lines)
    seconds = json.loads(lines[-1])["time"]
    capture = cv2.VideoCapture(str(saved))
    # True to its time, though the app didn't take every frame: half a second for those after the last line.
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) / 25 == pytest.approx(seconds, abs=0.5)
