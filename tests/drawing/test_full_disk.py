"""A video on a disk that fills up: it ends while it can still be completed."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.drawing import VideoFile
from amfac_edge.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")

PICTURE = np.full((48, 64, 3), 90, np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_what_is_there_stays_playable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    free = [1 << 30] * 5 + [8 << 20]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop(0)))
    path = tmp_path / f"live{suffix}"
    with pytest.raises(
        OutputError, match=r"nearly full \(8\.4 MB are free\); the video ends after 5 frames and is kept"
    ):
        fill(path)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_disk_that_is_full_from_the_start_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    path = tmp_path / "live.mp4"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"nearly full.*; no video was written"):
        fill(path)
    assert path.read_bytes() == b"old"


def fill(path: Path) -> None:
    with VideoFile(path, 25.0, (48, 64)) as video:
        for _ in range(9):
            video.write(PICTURE)
