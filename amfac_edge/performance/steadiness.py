"""Whether a run was steady: did it get slower, was it throttled, did the machine sleep in between."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.machine.state import MachineState
    from amfac_edge.performance.watching import Reading

__all__ = ["MOST_DRIFT_PERCENT", "drift_percent", "throttling"]

MOST_DRIFT_PERCENT = 3.0
"""More between the first and the last third of a series is told."""

# Of three thirds, the fewest samples whose medians mean anything.
_FEWEST = 30
# A clock is below its cap for real only where it is by more than a step of a governor's table, and not just once.
_BELOW, _OFTEN = 0.99, 0.01
_WORDS = {
    "oc1": "under-voltage events (oc1)",
    "oc2": "average over-current events (oc2)",
    "thermal": "thermal events of the processor",
    "quota": "periods in which the container's CPU quota was used up",
}


def drift_percent(samples: Sequence[float]) -> float | None:
    """How much slower the last third's median is than the first's, in percent; None of fewer than 30 samples."""
    third = len(samples) // 3
    if len(samples) < _FEWEST:
        return None
    return 100 * (statistics.median(samples[-third:]) / statistics.median(samples[:third]) - 1)


def throttling(before: MachineState, after: MachineState, readings: Sequence[Reading]) -> tuple[str, ...]:
    """What slowed the machine down between two states, a sentence each; empty where nothing was seen.

    oc3, which a Jetson at MAXN_SUPER counts all the time without any loss, is in the states, and not here.
    """
    counted = {
        name: after.slow_downs.events.get(name, 0) - before.slow_downs.events[name] for name in before.slow_downs.events
    }
    found = [f"{counted[name]} {words}" for name, words in _WORDS.items() if counted.get(name, 0) > 0]
    new = sorted(set(after.slow_downs.cooling) - set(before.slow_downs.cooling))
    found += [f"cooling by {name}" for name in new]
    reasons = sorted({reason for one in readings for reason in one.held_back})
    found += [f"held back: {reason}" for reason in reasons]
    share = _share_below(readings)
    if share is not None and share > _OFTEN:
        found.append(f"GPU clock below its cap in {share:.0%} of the readings")
    return tuple(found)


def _share_below(readings: Sequence[Reading]) -> float | None:
    pairs = [(one.gpu_mhz, one.gpu_cap_mhz) for one in readings]
    known = [(now, cap) for now, cap in pairs if now is not None and cap is not None]
    return sum(now < _BELOW * cap for now, cap in known) / len(known) if known else None
