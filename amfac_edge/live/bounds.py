"""Where an endless source ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from amfac_edge.cameras import Frame

__all__ = ["bounded_frames"]


def bounded_frames(
    source: Iterable[Frame], *, frames: int | None = None, seconds: float | None = None
) -> Iterator[Frame]:
    """The first frames of `source`; no frame beyond the last one is waited for.

    Args:
        source: of the frames.
        frames: how many at most; None for all.
        seconds: of the frames' own time, from the start of a video or the first frame of a camera; None for all.
    """
    if frames is not None and frames < 1:
        return
    for count, frame in enumerate(source, start=1):
        if seconds is not None and frame.time >= seconds:
            return
        yield frame
        if count == frames:
            return
