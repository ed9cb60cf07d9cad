from __future__ import annotations

import json
from pathlib import Path

import pytest

from amfac_edge.cameras import ArchiveFile
from amfac_edge.live import Position, position_after

FILES = (
    ArchiveFile(Path("a.png"), video=False, index=3),
    ArchiveFile(Path("b.mp4"), video=True),
    ArchiveFile(Path("c.png"), video=False, index=4),
    ArchiveFile(Path("d.mp4"), video=True),
)


def _lines(*places: tuple[str, int]) -> list[bytes]:
    return [json.dumps({"frame": frame, "name": name, "people": []}).encode() + b"\n" for name, frame in places]


ALL = _lines(("a.png", 3), ("b.mp4", 0), ("b.mp4", 1), ("c.png", 4), ("d.mp4", 0))


@pytest.mark.parametrize(
    ("lines", "position"),
    [
        ([], Position()),
        (ALL[:1], Position(1, 1, 0)),
        (ALL[:2], Position(2, 1, 1)),
        (ALL[:3], Position(3, 1, 2)),
        (ALL[:4], Position(4, 3, 0)),
        (ALL, Position(5, 3, 1)),
    ],
)
def test_it_goes_on_behind_the_last_line(lines: list[bytes], position: Position) -> None:
    assert position_after(lines, FILES) == position


def test_a_video_whose_frames_depend_on_each_other_is_begun_again() -> None:
    assert position_after(ALL[:3], FILES, whole_videos=True) == Position(1, 1, 0)
    assert position_after(ALL, FILES, whole_videos=True) == Position(4, 3, 0)
    assert position_after(ALL[:4], FILES, whole_videos=True) == Position(4, 3, 0)


def test_files_without_a_line_are_named() -> None:
    assert position_after([*ALL[1:3], *ALL[4:]], FILES) == Position(3, 3, 1, ("a.png", "c.png"))


@pytest.mark.parametrize(
    "wrong",
    [
        b"\0\0\0\0\n",
        b"[]\n",
        b'{"frame": 2}\n',
        *_lines(("b.mp4", 0), ("b.mp4", 3), ("a.png", 3), ("c.png", 0), ("other.png", 0), ("d.mp4", 1)),
    ],
)
def test_lines_end_at_the_first_that_cannot_be_the_next(wrong: bytes) -> None:
    assert position_after([*ALL[:3], wrong, *ALL[3:]], FILES) == Position(3, 1, 2)
