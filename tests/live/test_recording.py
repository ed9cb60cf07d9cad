from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import Frame
from amfac_edge.live.recording import CameraVideo

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")


def recorded(path: Path, frames: list[tuple[float, int, tuple[int, int]]]) -> list[np.ndarray]:
    """What can be read back of frames (time, grey, size) at 10 fps."""
    with CameraVideo(path, 10.0, (48, 64)) as video:
        for index, (moment, grey, size) in enumerate(frames):
            picture = np.full((*size, 3), grey, np.uint8)
            video.write(Frame(index, moment, "camera", picture), picture)
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


def test_a_frame_lasts_until_the_next_one(tmp_path: Path) -> None:
    pictures = recorded(
        tmp_path / "a.avi", [(5.0, 0, (48, 64)), (5.3, 100, (48, 64)), (5.32, 180, (48, 64)), (5.4, 250, (48, 64))]
    )
    greys = [int(picture[24, 32, 0]) for picture in pictures]
    # 5.32 comes before the turn of the next one.
    assert greys == pytest.approx([0, 0, 0, 100, 250], abs=4)


def test_a_long_gap_is_shortened(tmp_path: Path) -> None:
    pictures = recorded(tmp_path / "a.avi", [(0.0, 0, (48, 64)), (900.0, 100, (48, 64)), (900.1, 200, (48, 64))])
    assert 20 <= len(pictures) <= 24


def test_another_size_is_fitted_into_the_first_one(tmp_path: Path) -> None:
    pictures = recorded(tmp_path / "a.avi", [(0.0, 200, (48, 64)), (0.1, 200, (96, 64))])
    last = pictures[-1]
    assert last.shape == (48, 64, 3)
    assert last[24, 32, 0] > 180
    assert last[24, 3, 0] < 20
