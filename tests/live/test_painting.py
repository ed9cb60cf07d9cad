from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.keypoints import skeleton
from amfac_edge.live import Painter
from amfac_edge.live.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.live import PosedFrame

SKELETON = skeleton("coco-17")


def test_ids_are_written_where_people_are_followed(posed_frame: Callable[..., PosedFrame]) -> None:
    plain, named = Painter(SKELETON), Painter(SKELETON, ids=True)
    followed, numbered = posed_frame(), posed_frame(ids=False)
    assert (named(followed) != plain(followed)).any()
    assert (named(numbered) == plain(numbered)).all()
    assert (followed.frame.image == followed.frame.image[0, 0]).all()  # the frame itself stays as it was


def test_a_shrunk_picture_has_its_people_at_the_same_places(posed_frame: Callable[..., PosedFrame]) -> None:
    posed = posed_frame(size=(240, 320))
    whole, half = Painter(SKELETON)(posed), Painter(SKELETON, longest=160)(posed)
    assert half.shape == (120, 160, 3)
    assert Painter(SKELETON, longest=320)(posed).shape == whole.shape
    drawn = [np.argwhere((picture != posed.frame.image[0, 0]).any(axis=-1)) for picture in (whole, half)]
    for corner in (drawn[0].min(axis=0) - 2 * drawn[1].min(axis=0), drawn[0].max(axis=0) - 2 * drawn[1].max(axis=0)):
        assert np.abs(corner).max() <= 4  # lines are as thick in the half as in the whole


def test_the_pace_of_the_last_frames(posed_frame: Callable[..., PosedFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(np.arange(0.0, 100.0, 0.04))
    monkeypatch.setattr("amfac_edge.live.pace.time.monotonic", lambda: float(next(now)))
    pace = Pace()
    assert pace.figures() == {"frames": 0, "fps": None, "people": 0, "stages_ms": {}}
    assert pace.sentence() == "0 people, 0 ms a frame"
    for index in range(200):
        pace.add(posed_frame(index))
    assert pace.figures() == {
        "frames": 200,
        "fps": pytest.approx(25, abs=0.01),
        "people": 1,
        "stages_ms": {"boxes": 2.0, "crop": 1.0, "network": 5.0, "decode": 0.5},
    }
    assert pace.sentence() == "25.0 fps, 1 person, 8 ms a frame"
    assert len(pace._times) == 60
