"""What every source of frames gives, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amfac_edge.keypoints import Bgr

__all__ = ["Frame", "FrameSource"]


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        index: its number in the source, from 0; a picture that was skipped keeps its number.
        time: seconds from the start of a video, or since the first frame that a camera's reader handed over; 0 for
            pictures, which have no clock.
        name: file name of the picture or of the video.
        image: (H, W, 3) uint8 BGR; of a camera perhaps (H, W, 4) BGRx.
        arrived: when it arrived from a camera, by `time.monotonic`; None for files.
        waited: seconds from its arrival to its hand-over; 0 for files.
        source_time: by the stream's own clock, in seconds; None where it has none.
    """

    index: int
    time: float
    name: str
    image: Bgr
    arrived: float | None = None
    waited: float = 0.0
    source_time: float | None = None

    def age(self, now: float) -> float:
        """Seconds from its arrival to `now` by `time.monotonic`; 0 for files, whose frames don't grow old."""
        return 0.0 if self.arrived is None else now - self.arrived


class FrameSource(Protocol):
    """Frames in order; iterating again starts again.

    Attributes:
        name: of the file, folder or camera, without a password.
        live: whether it is a camera, whose frames don't wait.
        video: whether the frames follow each other in time.
        fps: frames a second of a video; None for pictures, and where the file does not say.
        length: how many frames there will be, as announced; None where that is unknown.
        skipped: (name, reason) of what the last iteration could not read.
        ignored: names in a folder that are no pictures, by their suffix.
    """

    name: str
    live: bool
    video: bool
    fps: float | None
    length: int | None
    skipped: list[tuple[str, str]]
    ignored: list[str]

    def __iter__(self) -> Iterator[Frame]:
        """The frames, from the first one."""
        ...  # pragma: no cover - a protocol has no body

    def close(self) -> None:
        """Let a camera go, with the thread that reads it; of files there is nothing to let go. Twice is allowed."""
        ...  # pragma: no cover - a protocol has no body

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
