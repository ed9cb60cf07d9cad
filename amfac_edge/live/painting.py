"""A posed frame as a picture: one way of drawing for files, window and page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.drawing import draw_poses
from amfac_edge.keypoints import checked_frame, load_opencv

if TYPE_CHECKING:
    from amfac_edge.keypoints import Bgr, Skeleton
    from amfac_edge.live.loop import PosedFrame

__all__ = ["Painter"]


@dataclass(frozen=True)
class Painter:
    """Draws the people of posed frames.

    Attributes:
        skeleton: of the joints.
        min_score: the lowest joint score that is drawn.
        note: written on every frame where it is not empty.
        ids: whether each person's id is written at the box, where people are followed.
        longest: pixels of the longer side of a picture; a larger frame is shrunk before it is drawn on. None shrinks
            nothing.
    """

    skeleton: Skeleton
    min_score: float = 0.0
    note: str = ""
    ids: bool = False
    longest: int | None = None

    def __call__(self, posed: PosedFrame, figures: str = "") -> Bgr:
        """The picture of a frame.

        Args:
            posed: the frame and its people.
            figures: written beside the note, ASCII.

        Returns:
            (H, W, 3) uint8 BGR, a new array.
        """
        image = checked_frame(posed.frame.image)
        keypoints, boxes = posed.poses.keypoints, posed.poses.boxes
        if self.longest is not None and max(image.shape[:2]) > self.longest:
            image, scale = _shrunk(image, self.longest)
            # Whole numbers are the centres of pixels, in both pictures.
            keypoints, boxes = (keypoints + 0.5) * scale - 0.5, (boxes + 0.5) * np.tile(scale, 2) - 0.5
        return draw_poses(
            image,
            keypoints,
            posed.poses.scores,
            boxes,
            self.skeleton,
            min_score=self.min_score,
            note="; ".join(filter(None, (self.note, figures))),
            labels=[str(number) for number in posed.ids] if self.ids and posed.ids is not None else (),
        )


def _shrunk(image: Bgr, longest: int) -> tuple[Bgr, np.ndarray]:
    """The picture with its longer side at `longest`, and its scale in x and y, (2,) float32."""
    cv2 = load_opencv("shrinking frames")
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale
