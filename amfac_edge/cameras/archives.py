"""Archives: folders of pictures and of videos, in one order for all machines, and the part of it that one of them does.

An archive is split by whole files into runs of neighbours, so that the outputs of the shards, one behind the other, are
the output of a single run.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.cameras.frames import Frame
from amfac_edge.cameras.pictures import PICTURE_SUFFIXES, read_picture
from amfac_edge.cameras.sources import open_source
from amfac_edge.errors import FrameError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["VIDEO_SUFFIXES", "Archive", "ArchiveFile", "Shard", "frames_of"]

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)
"""Suffixes, in lower case, of the files that count as videos in a folder."""

_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 0."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "0/4".

        Raises:
            InputError: another form, or a part that isn't one of them.
        """
        found = _SHARD.fullmatch(text)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if count < 1 or index >= count:
            last = f": of {count} parts the last one is {count - 1}/{count}" if count else ""
            raise InputError(
                f'--shard "{text}" is no part of a whole{last}', cure="Give I/N, counted from 0: 0/4, 1/4, 2/4 and 3/4."
            )
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive.

    Attributes:
        path: where it lies.
        video: whether it is a video, by its suffix.
        index: a picture's number among the pictures of the archive, as `open_source` counts them; 0 for a video.
    """

    path: Path
    video: bool
    index: int = 0

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return self.path.name


class Archive:
    """The pictures and videos of a folder sorted by name, or one file alone.

    Subfolders, hidden files and other files are left out (`ignored`). What is a video is told by its suffix here, since
    an archive may hold a million files.

    Raises:
        FrameError: nothing there, or neither a picture nor a video in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ignored: list[str] = []
        try:
            self.is_folder = path.is_dir()
            if self.is_folder:
                self.files = tuple(self._of_folder())
            else:
                opened = open_source(path)
                self.files = (ArchiveFile(path, opened.video),)
        except OSError as error:
            raise FrameError(
                f"{path}: can't be read: {error.strerror or error}", cure="Check the path and its rights."
            ) from error
        if not self.files:
            raise FrameError(
                f"{path}: neither a picture nor a video in this folder ({len(self.ignored)} other entries)",
                cure=f"They end in {' '.join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))}; subfolders are not searched.",
            )

    @property
    def videos(self) -> int:
        """How many of the files are videos."""
        return sum(file.video for file in self.files)

    def part(self, shard: Shard) -> tuple[ArchiveFile, ...]:
        """The files of a shard: neighbours, and as many as others have, or one more; none where files are few."""
        first, last = (len(self.files) * place // shard.count for place in (shard.index, shard.index + 1))
        return self.files[first:last]

    def digest(self) -> str:
        """SHA-256 over the names and sizes of all files, in hex: whether two machines split the same archive."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(os.fsencode(file.name) + b"\0" + str(_size(file.path)).encode() + b"\0")
        return digest.hexdigest()

    def _of_folder(self) -> Iterator[ArchiveFile]:
        pictures = 0
        for entry in sorted(self.path.iterdir()):
            if entry.name.startswith("."):
                continue
            suffix = entry.suffix.lower()
            if suffix not in PICTURE_SUFFIXES | VIDEO_SUFFIXES or not entry.is_file():
                self.ignored.append(entry.name)
            elif suffix in VIDEO_SUFFIXES:
                yield ArchiveFile(entry, video=True)
            else:
                yield ArchiveFile(entry, video=False, index=pictures)
                pictures += 1


def frames_of(file: ArchiveFile, *, skip: int = 0) -> tuple[Iterator[Frame], list[tuple[str, str]]]:
    """The frames of one file, and what can't be read of it: (name, reason), complete when the frames have ended.

    Args:
        file: a picture or a video of an archive.
        skip: so many frames at a video's start are decoded and passed over.
    """
    faults: list[tuple[str, str]] = []
    return _frames(file, skip, faults), faults


def _frames(file: ArchiveFile, skip: int, faults: list[tuple[str, str]]) -> Iterator[Frame]:
    try:
        if not file.video:
            yield Frame(file.index, 0.0, file.name, read_picture(file.path))
            return
        video = open_source(file.path)
        for frame in video:
            if frame.index >= skip:
                yield frame
        faults += video.skipped
    except FrameError as error:
        faults.append((file.name, error.problem))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
