"""Posed frames that the tests of screens make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import Frame
from amfac_edge.live import PosedFrame
from amfac_edge.runtime import Poses, StageTimes

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def posed_frame() -> Callable[..., PosedFrame]:
    """The function `made_frame`."""
    return made_frame


def made_frame(
    index: int = 0, *, people: int = 1, size: tuple[int, int] = (120, 160), ids: bool = True, noise: bool = False
) -> PosedFrame:
    """A frame of (40, 90, 200), or of noise that no encoder makes small; size is height and width."""
    height, width = size
    image = np.full((height, width, 3), (40, 90, 200), np.uint8)
    if noise:
        image = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
    points = np.linspace((30, 40), (70, 100), 17, dtype=np.float32)[None].repeat(people, axis=0)
    boxes = np.tile(np.array([25, 35, 75, 105], np.float32), (people, 1))
    poses = Poses(points, np.full((people, 17), 0.9, np.float32), boxes)
    return PosedFrame(
        Frame(index, index / 25, "made", image),
        poses,
        np.full(people, 0.9),
        None,
        StageTimes(1.0, 5.0, 0.5),
        ids=np.arange(7, 7 + people) if ids else None,
        find_ms=2.0,
    )
