from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import Archive, Shard, frames_of
from amfac_edge.errors import FrameError, InputError

if TYPE_CHECKING:
    from pathlib import Path

cv2 = pytest.importorskip("cv2")


def _archive(folder: Path) -> Path:
    """Pictures a.png, c.png and e.png with a video of four frames between, and what is neither."""
    folder.mkdir()
    for name in ("e.png", "a.png", "c.png"):
        cv2.imwrite(str(folder / name), np.full((24, 32, 3), ord(name[0]), np.uint8))
    writer = cv2.VideoWriter(str(folder / "b.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for index in range(4):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    return folder


def test_files_are_sorted_by_name_and_pictures_counted_as_a_folder_counts_them(tmp_path: Path) -> None:
    archive = Archive(_archive(tmp_path / "archive"))
    assert [(file.name, file.video, file.index) for file in archive.files] == [
        ("a.png", False, 0),
        ("b.avi", True, 0),
        ("c.png", False, 1),
        ("e.png", False, 2),
    ]
    assert archive.ignored == ["folder.png", "notes.txt"]
    assert archive.videos == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_shards_behind_each_other_are_the_archive(tmp_path: Path, count: int) -> None:
    archive = Archive(_archive(tmp_path / "archive"))
    parts = [archive.part(Shard(index, count)) for index in range(count)]
    assert sum(parts, ()) == archive.files
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_digest_tells_another_archive_and_not_another_place(tmp_path: Path) -> None:
    first, second = Archive(_archive(tmp_path / "first")), Archive(_archive(tmp_path / "second"))
    assert first.digest() == second.digest()
    (tmp_path / "second" / "f.png").write_bytes(b"1")
    assert Archive(tmp_path / "second").digest() != first.digest()


def test_frames_of_a_video_can_begin_anywhere(tmp_path: Path) -> None:
    video = Archive(_archive(tmp_path / "archive")).files[1]
    frames, faults = frames_of(video, skip=2)
    assert [(frame.index, frame.name) for frame in frames] == [(2, "b.avi"), (3, "b.avi")]
    assert faults == []


def test_a_file_that_cannot_be_read_is_told_and_ends_nothing(tmp_path: Path) -> None:
    folder = _archive(tmp_path / "archive")
    (folder / "a.png").write_bytes(b"broken")
    (folder / "b.avi").write_bytes(b"broken")
    for file in Archive(folder).files[:2]:
        frames, faults = frames_of(file)
        assert list(frames) == []
        assert [name for name, _ in faults] == [file.name]


def test_one_file_is_an_archive_of_its_own(tmp_path: Path) -> None:
    archive = Archive(_archive(tmp_path / "archive") / "b.avi")
    assert [(file.name, file.video) for file in archive.files] == [("b.avi", True)]
    assert not archive.is_folder


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(FrameError, match=r"neither a picture nor a video in this folder \(1 other"):
        Archive(tmp_path)
    with pytest.raises(FrameError, match="does not exist"):
        Archive(tmp_path / "absent")


@pytest.mark.parametrize("text", ["4/4", "0/0", "-1/4", "1", "a/b", "1/4/2", "", " 1/4"])
def test_what_is_no_part_of_a_whole_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is no part of a whole"):
        Shard.parse(text)


def test_the_last_part_is_named_to_those_who_count_from_one() -> None:
    with pytest.raises(InputError, match="of 4 parts the last one is 3/4"):
        Shard.parse("4/4")
    assert str(Shard.parse("3/4")) == "3/4"
