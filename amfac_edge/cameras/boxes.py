"""Where the boxes of people come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from amfac_edge.keypoints import PeopleBoxes

if TYPE_CHECKING:
    from amfac_edge.cameras.frames import Frame

__all__ = ["BoxSource", "FullFrame"]


class BoxSource(Protocol):
    """Says who is in a frame."""

    def people(self, frame: Frame) -> PeopleBoxes:
        """The people of `frame`, nobody where it knows of none."""
        ...  # pragma: no cover - a protocol has no body

    def image_id(self, frame: Frame) -> int | None:
        """The number that the data set gives to `frame`, None where it gives none."""
        ...  # pragma: no cover - a protocol has no body


class FullFrame:
    """One person who fills the frame, from the outer edge of its first pixel to the outer edge of its last one."""

    def people(self, frame: Frame) -> PeopleBoxes:
        """See `BoxSource.people`."""
        height, width = frame.image.shape[:2]
        return PeopleBoxes(np.array([[-0.5, -0.5, width - 0.5, height - 0.5]]), np.ones(1))

    def image_id(self, frame: Frame) -> int | None:  # noqa: ARG002 - it has no numbers to give
        """See `BoxSource.image_id`."""
        return None
