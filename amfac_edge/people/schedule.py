"""When the detector is asked.

Every n frames; sooner where somebody seems to be lost, and where the picture has changed away from everybody whose pose
is followed: somebody may have come in, or have gone whose joints don't say where. Each of these has a shortest distance
to the last time: a moving camera, or a person whom the detector doesn't see, must not cost a detection in every frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints import Bgr

__all__ = ["Schedule"]

# The picture is looked at on a grid of cells, each the mean of 4 x 4 of its pixels: enough to see a person come in, and
# a tenth of a millisecond in full HD. Noise of a camera is a few levels, and less in the mean.
_CELLS, _IN_A_CELL = (18, 32), 4
_CHANGED_LEVELS = 12.0
_CHANGED_SHARE = 0.01


class Schedule:
    """Counts frames and looks at them.

    Args:
        every: n; 1 asks in every frame.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._since: int | None = None
        self._patience = 1
        self._cells: NDArray[np.float32] | None = None
        self._boxes: NDArray[np.float64] = np.zeros((0, 4))

    def is_due(self, image: Bgr, boxes: NDArray[np.float64], *, lost: bool) -> bool:
        """Whether the detector is asked in this frame; to be called once a frame.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) xyxy of those whose poses say where they go: there the picture may change.
            lost: whether one of them seems to be lost.
        """
        if self._since is None:
            return True
        self._since += 1
        if self._since >= self._every or (lost and self._since >= self._patience):
            return True
        return self._since >= self._pause(len(boxes)) and self._has_changed(_cells_of(image), boxes, image)

    def asked(self, image: Bgr, boxes: NDArray[np.float64], *, in_vain: bool) -> None:
        """Remember that the detector was asked.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) xyxy as before.
            in_vain: somebody is lost all the same: then the next time comes later.
        """
        self._since = 0
        self._patience = min(2 * self._patience, self._every) if in_vain else 1
        self._cells, self._boxes = _cells_of(image), boxes

    def _pause(self, people: int) -> int:
        # Where nobody is there, or nobody can be followed by the pose, the detector alone can tell.
        return max(1, self._every // (2 if people else 5))

    def _has_changed(self, cells: NDArray[np.float32], boxes: NDArray[np.float64], image: Bgr) -> bool:
        if self._cells is None or self._cells.shape != cells.shape:
            return True
        changed = np.abs(cells - self._cells) > _CHANGED_LEVELS
        rows, columns = changed.shape
        height, width = image.shape[:2]
        # Where people are now, and where they were, the picture may change.
        everywhere = np.concatenate([boxes, self._boxes]) * np.tile([columns / width, rows / height], 2)
        for x1, y1, x2, y2 in everywhere.tolist():
            # The cells that a box touches, and one more, since shadows go with people.
            changed[max(0, int(y1) - 1) : max(0, int(y2) + 2), max(0, int(x1) - 1) : max(0, int(x2) + 2)] = False
        return bool(changed.mean() > _CHANGED_SHARE)


def _cells_of(image: Bgr) -> NDArray[np.float32]:
    """Mean green of the cells, (rows, columns); small pictures have fewer of them."""
    green = image[..., 1]
    steps = [max(1, side // (cells * _IN_A_CELL)) for side, cells in zip(green.shape, _CELLS, strict=True)]
    taken = green[:: steps[0], :: steps[1]]
    rows, columns = (max(1, side // _IN_A_CELL) for side in taken.shape)
    down, across = (min(_IN_A_CELL, side) for side in taken.shape)
    blocks = taken[: rows * down, : columns * across].reshape(rows, down, columns, across)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
