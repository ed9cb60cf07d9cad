"""The machine around a run: its state before and after, what held it back, what others took, what it cost in energy."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amfac_edge.machine.load import cpu_seconds_of_others, waited_seconds
from amfac_edge.machine.state import read_state
from amfac_edge.performance.steadiness import throttling
from amfac_edge.performance.watching import energy_of, watch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from amfac_edge.machine.state import MachineState
    from amfac_edge.performance.watching import Energy, Watch

__all__ = ["Observed", "Observing"]

_IDLE_S = 3.0


@dataclass(frozen=True)
class Observed:
    """What was seen of the machine while series ran.

    Attributes:
        before: its state before them.
        after: its state after them.
        busy: CPU time that others took of the cores that this process may use, 1.0 being one core; None where it can't
            be read.
        waited: time that this process's threads were ready to run and had no core, as a share of the run; None as
            above.
        throttling: what slowed it down, a sentence each.
        power_source: where power was read; empty where it is unknown.
        energy: by boundary; without those whose series was too short for it.
    """

    before: MachineState
    after: MachineState
    busy: float | None
    waited: float | None
    throttling: tuple[str, ...] = ()
    power_source: str = ""
    energy: Mapping[str, Energy] = field(default_factory=dict)


class Observing:
    """Looks at the machine from `__enter__` to `__exit__`; where power can be read, three seconds at rest come first.

    Args:
        watch: over power and clocks; None for this machine's.
        state: reads the machine's state.
        idle_s: seconds at rest.
        stage: is told the name of each series before it begins.
    """

    def __init__(
        self,
        watch: Watch | None = None,
        state: Callable[[], MachineState] = read_state,
        idle_s: float = _IDLE_S,
        stage: Callable[[str], object] | None = None,
    ) -> None:
        self._watch = watch if watch is not None else watch_of()
        self._state, self._idle_s, self._stage = state, idle_s, stage
        self._windows: dict[str, tuple[float, float, int]] = {}
        self._rested = 0.0

    def __enter__(self) -> Observing:
        self._before = self._state()
        self._watch.__enter__()
        if self._watch.knows_power:
            time.sleep(self._idle_s)
        self._rested = time.perf_counter()
        self._others, self._waited = cpu_seconds_of_others(), waited_seconds()
        return self

    def timed(self, name: str, work: Callable[[], dict[str, list[float]]]) -> dict[str, list[float]]:
        """What `work` gives: series by boundary, of which `name` is the one that its time and energy are told of."""
        if self._stage is not None:
            self._stage(name)
        found = work()
        end = time.perf_counter()
        samples = found[name]
        self._windows[name] = (end - sum(samples) / 1e3, end, len(samples))
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        lasted = time.perf_counter() - self._rested
        self._busy = _share(cpu_seconds_of_others(), self._others, lasted)
        self._waited = _share(waited_seconds(), self._waited, lasted)
        self._watch.__exit__(kind, error, trace)
        self._after = self._state()

    def result(self) -> Observed:
        """What was seen; after the end."""
        readings = self._watch.readings
        idle = [one for one in readings if one.at < self._rested]
        working = [one for one in readings if any(start <= one.at <= end for start, end, _ in self._windows.values())]
        energy = {
            name: energy_of(self._watch.source, idle, readings, (start, end), frames)
            for name, (start, end, frames) in self._windows.items()
        }
        return Observed(
            before=self._before,
            after=self._after,
            busy=self._busy,
            waited=self._waited,
            throttling=throttling(self._before, self._after, working),
            power_source=self._watch.source,
            energy={name: one for name, one in energy.items() if one is not None},
        )


def _share(now: float | None, before: float | None, lasted: float) -> float | None:
    return None if now is None or before is None else max(now - before, 0.0) / lasted
