"""A detector as a source of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.cameras import Frame
    from amfac_edge.keypoints import PeopleBoxes
    from amfac_edge.people import PersonDetector

__all__ = ["DetectedPeople"]


class DetectedPeople:
    """A `BoxSource` over a `PersonDetector`.

    Args:
        detector: asked for every frame that it is given.
    """

    def __init__(self, detector: PersonDetector) -> None:
        self._detector = detector

    def people(self, frame: Frame) -> PeopleBoxes:
        """See `BoxSource.people`."""
        return self._detector(frame.image)

    def image_id(self, frame: Frame) -> int | None:  # noqa: ARG002 - it has no numbers to give
        """See `BoxSource.image_id`."""
        return None
