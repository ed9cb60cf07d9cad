"""Poses for programs: pose lines while it runs, COCO results at the end."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import OutputError
from amfac_edge.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import TextIO

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.live.loop import PosedFrame

__all__ = ["CocoResults", "PoseLines", "pose_line"]

_PERSON = 1
# A thousandth of a pixel is far below what any network resolves; scores of untrained networks are small.
_PIXEL_DIGITS, _SCORE_DIGITS = 3, 6


def pose_line(posed: PosedFrame) -> dict[str, Any]:
    """A frame's poses as one JSON object.

    Returns:
        `frame` (its number in the source, from 0), `name` (of the picture or video), `time` (seconds) and `people`,
        each with `id` (of the person who is followed, else its number in the frame, from 1), `box` [x1, y1, x2, y2],
        `score` and `keypoints` [[x, y, score], ...], in frame pixels. Without people, `people` is []. `skipped` has
        `box` and `score` of those for whom there was no time or place; it is absent where there are none.
    """
    poses = posed.poses
    ids = range(1, len(poses) + 1) if posed.ids is None else posed.ids.tolist()
    line = {
        "frame": posed.frame.index,
        "name": posed.frame.name,
        "time": round(posed.frame.time, 6),
        "people": [
            {
                "id": ids[person],
                "box": _rounded(poses.boxes[person], _PIXEL_DIGITS),
                "score": round(float(posed.person_scores[person]), _SCORE_DIGITS),
                "keypoints": _joints(posed, person),
            }
            for person in range(len(poses))
        ],
    }
    if len(posed.skipped.boxes):
        line["skipped"] = [
            {"box": _rounded(box, _PIXEL_DIGITS), "score": round(float(score), _SCORE_DIGITS)}
            for box, score in zip(*posed.skipped, strict=True)
        ]
    return line


class PoseLines:
    """Writes a pose line for each frame, at once, so that a program behind a pipe can follow."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, posed: PosedFrame) -> None:
        """Write the line of a frame.

        Raises:
            OutputError: the disk behind the stream is full.
        """
        line = json.dumps(pose_line(posed), allow_nan=False) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            problem = f"the disk is full: the pose lines end before frame {posed.frame.index}"
            raise OutputError(
                problem, cure="Free space there; the lines before it are whole, but for the last."
            ) from error


class CocoResults:
    """Collects a COCO results list and writes it when its `with` block ends well.

    A block that ends in an error or an interruption leaves the old file as it was: a list of half of the pictures can't
    be told from a whole one. `image_id` is the data set's number of the picture, else the number that is its name, else
    the frame's number in its source; pictures have their `file_name` too.

    Args:
        path: of the JSON file.
        video: whether the frames are those of a video.
    """

    keeps_parts = False
    nouns = ("person", "people")

    def __init__(self, path: Path, *, video: bool) -> None:
        self.path = path
        self._video = video
        # As text, since a long video has a hundred thousand of them.
        self._entries: list[str] = []

    def add(self, posed: PosedFrame) -> None:
        """Collect the people of a frame."""
        self._entries += self.entries_of(posed)

    def restore(self, entries: Sequence[str]) -> None:
        """Collect what `entries_of` gave to an earlier run."""
        self._entries += entries

    def entries_of(self, posed: PosedFrame) -> list[str]:
        """The people of a frame as entries of the list, each in JSON."""
        entries: list[str] = []
        named = {"image_id": self._image_id(posed)} | ({} if self._video else {"file_name": posed.frame.name})
        for person, (x1, y1, x2, y2) in enumerate(posed.poses.boxes.tolist()):
            entry = named | {
                "category_id": _PERSON,
                "bbox": [round(value, _PIXEL_DIGITS) for value in (x1, y1, x2 - x1, y2 - y1)],
                "keypoints": [number for joint in _joints(posed, person) for number in joint],
                "score": round(float(posed.person_scores[person]), _SCORE_DIGITS),
            }
            entries.append(json.dumps(entry, allow_nan=False))
        return entries

    @property
    def count(self) -> int:
        """How many people were collected so far."""
        return len(self._entries)

    def __enter__(self) -> CocoResults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if kind is None:
            write_bytes(self.path, ("[\n" + ",\n".join(self._entries) + "\n]\n").encode())

    def _image_id(self, posed: PosedFrame) -> int:
        if self._video:
            return posed.frame.index
        if posed.image_id is not None:
            return posed.image_id
        stem = posed.frame.name.rpartition(".")[0]
        return int(stem) if stem.isascii() and stem.isdecimal() else posed.frame.index


def _joints(posed: PosedFrame, person: int) -> list[list[float]]:
    """[x, y, score] of each joint."""
    points, scores = posed.poses.keypoints[person].tolist(), posed.poses.scores[person].tolist()
    return [
        [round(x, _PIXEL_DIGITS), round(y, _PIXEL_DIGITS), round(score, _SCORE_DIGITS)]
        for (x, y), score in zip(points, scores, strict=True)
    ]


def _rounded(values: NDArray[np.floating], digits: int) -> list[float]:
    return [round(value, digits) for value in values.tolist()]
