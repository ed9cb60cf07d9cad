"""From a frame to a detector's input and back: one rule for all families.

The frame is scaled by one number on both axes, so that it just fits, and lies at the top left; the rest, at the right
or below, is grey 114. RTMDet's and YOLOX's own test pipelines do the same. Detectors have learnt from COCO's boxes, in
whose coordinates the first pixel reaches from 0 to 1: so a box in the frame is the network's box divided by the scale.

Letters: Hf x Wf the frame, H x W the network's input, N boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.keypoints.opencv import load_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints.frames import Bgr

__all__ = ["LETTERBOX_FILL", "Letterbox"]

LETTERBOX_FILL = 114


@dataclass(frozen=True)
class Letterbox:
    """One frame's size in one network's input.

    Attributes:
        frame_height: Hf.
        frame_width: Wf.
        height: H.
        width: W.
    """

    frame_height: int
    frame_width: int
    height: int
    width: int

    @property
    def scale(self) -> float:
        """Input pixels for each frame pixel."""
        return min(self.width / self.frame_width, self.height / self.frame_height)

    def place(self, frame_bgr: Bgr, out: NDArray[np.uint8]) -> None:
        """Scale a frame straight into `out`.

        Args:
            frame_bgr: (Hf, Wf, 3) uint8 BGR.
            out: (H, W, 3) uint8, C-contiguous; overwritten.

        Raises:
            MissingExtraError: OpenCV is not installed.
            ValueError: arrays of other shapes.
        """
        if frame_bgr.shape != (self.frame_height, self.frame_width, 3) or out.shape != (self.height, self.width, 3):
            message = f"{self} doesn't take {frame_bgr.shape} to {out.shape}"
            raise ValueError(message)
        cv2 = load_opencv("scaling frames")
        across = min(self.width, max(1, round(self.frame_width * self.scale)))
        down = min(self.height, max(1, round(self.frame_height * self.scale)))
        out.fill(LETTERBOX_FILL)
        out[:down, :across] = cv2.resize(frame_bgr, (across, down), interpolation=cv2.INTER_LINEAR)

    def to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes (N, 4) x1, y1, x2, y2 in input pixels -> (N, 4) in frame pixels, clipped to the frame."""
        limits = np.array([self.frame_width, self.frame_height] * 2, np.float64)
        return np.clip(np.asarray(boxes, np.float64) / self.scale, 0, limits)
