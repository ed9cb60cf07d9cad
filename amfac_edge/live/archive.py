"""Poses of an archive, file by file, and where a run that was killed goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.cameras import frames_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from amfac_edge.cameras import ArchiveFile, Frame
    from amfac_edge.live.loop import PosedFrame

__all__ = ["Position", "posed_archive", "position_after"]


@dataclass(frozen=True)
class Position:
    """How far pose lines reach into the files of a shard.

    Attributes:
        lines: so many of them are good, from the first one on.
        file: number of the file, among the shard's, in which to go on.
        frames: of that file were done.
        without: files before it that have no line: they could not be read.
    """

    lines: int = 0
    file: int = 0
    frames: int = 0
    without: tuple[str, ...] = ()


def position_after(lines: Iterable[bytes], files: Sequence[ArchiveFile], *, whole_videos: bool = False) -> Position:
    """Where to go on behind pose lines; the first one that can't be the next ends them.

    Args:
        lines: as `pose_line` makes them, in JSON.
        files: of the shard, in order.
        whole_videos: begin a video that may be unfinished from its first frame again, since its frames depend on each
            other.
    """
    good = file = frames = begun = 0
    without: list[str] = []
    for line in lines:
        name, index = _name_and_frame(line)
        ahead = next((place for place in range(file, len(files)) if files[place].name == name), None)
        if ahead is None:
            break
        done = frames if ahead == file else 0
        if index != (done if files[ahead].video else files[ahead].index):
            break
        without += [passed.name for passed in files[file + (frames > 0) : ahead]]
        begun = good if done == 0 else begun
        good += 1
        file, frames = (ahead, done + 1) if files[ahead].video else (ahead + 1, 0)
    if whole_videos and frames:
        return Position(begun, file, 0, tuple(without))
    return Position(good, file, frames, tuple(without))


def posed_archive(
    files: Sequence[ArchiveFile],
    start: Position,
    poses: Callable[[ArchiveFile, Iterable[Frame]], Iterator[PosedFrame]],
    ended: Callable[[ArchiveFile, Sequence[tuple[str, str]]], None],
) -> Iterator[PosedFrame]:
    """The poses in every frame of a shard, from `start` on.

    Args:
        files: of the shard, in order.
        start: where to begin.
        poses: of a file and its frames; called for each file anew, since what is known of the people of one video says
            nothing about the next.
        ended: called after each file, with what could not be read of it: (name, reason).
    """
    for place in range(start.file, len(files)):
        frames, faults = frames_of(files[place], skip=start.frames if place == start.file else 0)
        yield from poses(files[place], frames)
        ended(files[place], faults)


def _name_and_frame(line: bytes) -> tuple[object, object]:
    """Of a pose line; (None, None) where it is none, as after a power cut."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None, None
    return (record.get("name"), record.get("frame")) if isinstance(record, dict) else (None, None)
