"""The example apps run as they are written; only the window is replaced."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def _three_frames(path: Path) -> Path:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 64))
    for _ in range(3):
        film.write(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    film.release()
    return path


def test_the_app_without_a_screen_prints_a_line_a_frame(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = markers.write_artefact(tmp_path / "engine.onnx")
    film = _three_frames(tmp_path / "film.avi")
    monkeypatch.setattr("sys.argv", ["camera_lines.py", str(engine), str(film)])
    runpy.run_path(str(EXAMPLES / "camera_lines.py"), run_name="__main__")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    assert all(np.shape(line["keypoints"]) == (17, 2) and len(line["scores"]) == 17 for line in lines)


def test_the_camera_app_draws_joints_until_the_stream_ends(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = markers.write_artefact(tmp_path / "engine.onnx")
    film = _three_frames(tmp_path / "film.avi")
    shown: list[np.ndarray] = []
    monkeypatch.setattr(cv2, "imshow", lambda _title, frame: shown.append(frame.copy()))
    monkeypatch.setattr(cv2, "waitKey", lambda _ms: -1)
    monkeypatch.setattr("sys.argv", ["camera.py", str(engine), str(film)])
    runpy.run_path(str(EXAMPLES / "camera.py"), run_name="__main__")
    assert len(shown) == 3
    assert all((frame == (0, 200, 255)).all(axis=-1).any() for frame in shown)
