"""How many people a frame has time and place for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from amfac_edge.errors import InputError

__all__ = ["Budget"]

_SMOOTHING = 0.2


@dataclass
class Budget:
    """A number of people, a time for a frame, or both.

    Attributes:
        max_people: at most so many; None for any number.
        deadline_ms: milliseconds for a frame, the detector's included; None for any time. What a person costs is
            learnt from the frames before, and one person is always served.
    """

    max_people: int | None = None
    deadline_ms: float | None = None
    _person_ms: float | None = None

    def __post_init__(self) -> None:
        if self.max_people is not None and self.max_people < 1:
            raise InputError(f"at most {self.max_people} people are nobody", cure="Give 1 or more, or leave it out.")
        if self.deadline_ms is not None and not 0 < self.deadline_ms < math.inf:
            raise InputError(f"a deadline of {self.deadline_ms:g} ms is no time", cure="Give 40, say, for 25 frames/s.")

    def places(self, people: int, spent_ms: float) -> int:
        """For how many of `people` there is time, `spent_ms` after the frame began."""
        places = people if self.max_people is None else min(people, self.max_people)
        if self.deadline_ms is None or self._person_ms is None:
            return places
        left = int(max(self.deadline_ms - spent_ms, 0.0) / self._person_ms)
        return min(places, max(left, 1))

    def took(self, people: int, spent_ms: float) -> None:
        """`people` were served in `spent_ms`."""
        if people and spent_ms > 0:
            each = spent_ms / people
            before = each if self._person_ms is None else self._person_ms
            self._person_ms = before + _SMOOTHING * (each - before)
