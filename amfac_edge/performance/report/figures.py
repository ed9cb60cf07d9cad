"""A number on the page with what it is: measured or forecast, told apart by its type, its word and its look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.performance.forecast import Forecast
from amfac_edge.performance.report.markup import Html, element, joined
from amfac_edge.performance.samples import Measured

if TYPE_CHECKING:
    from amfac_edge.performance.samples import Statistics

__all__ = ["figure", "milliseconds", "tag"]


def tag(kind: str) -> Html:
    """The word "measured" or "forecast" in its own look."""
    return element("span", kind, class_=f"tag {kind}")


def figure(value: Measured | Forecast) -> Html:
    """Mean milliseconds of what was measured, or the range that is expected.

    Raises:
        TypeError: neither of them, so nobody knows what it is.
    """
    if isinstance(value, Measured):
        return element("span", f"{value.statistics.mean:.2f} ", tag("measured"), class_="measured")
    if isinstance(value, Forecast):
        reach = element("small", f" {value.low_ms:.1f} to {value.high_ms:.1f} ")
        return element("span", f"{value.mid_ms:.1f}", reach, tag("forecast"), class_="forecast")
    message = f"a {type(value).__name__} is neither measured nor forecast"
    raise TypeError(message)


def milliseconds(statistics: Statistics, name: str) -> Html:
    """One of a measured series' statistics; "few" where the samples are too few for it."""
    value = getattr(statistics, name)
    return element("small", "few") if value is None else joined([f"{value:.3f}"])
