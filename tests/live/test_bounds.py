from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.cameras import Frame
from amfac_edge.live import bounded_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frames() -> Iterator[Frame]:
    return (Frame(index, index / 10, "a", IMAGE) for index in itertools.count())


def test_bounds() -> None:
    assert [frame.index for frame in bounded_frames(frames(), frames=2)] == [0, 1]
    assert list(bounded_frames(frames(), frames=0)) == []
    assert [frame.index for frame in bounded_frames(frames(), seconds=0.3)] == [0, 1, 2]
    assert len(list(bounded_frames(itertools.islice(frames(), 4)))) == 4


def test_no_frame_beyond_the_last_one_is_waited_for() -> None:
    rest = frames()
    list(bounded_frames(rest, frames=2))
    assert next(rest).index == 2
