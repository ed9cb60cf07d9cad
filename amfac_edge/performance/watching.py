"""Power and clocks while something runs: ten readings a second, on a thread of their own, and what they add up to.

Where power comes from, the first that knows the whole module: the INA3221 monitors of a Jetson, its tegrastats,
nvidia-smi. Where there is none, it is unknown. It is the power of the module, or the card, not that of the wall.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.machine.card_state import CARD_QUERY, card_state_of
from amfac_edge.machine.cards import nvidia_smi
from amfac_edge.machine.jetson import read_gpu_clock
from amfac_edge.machine.rails import MODULE_RAILS, current_alarms, module_power, read_rails
from amfac_edge.machine.system_files import program_on
from amfac_edge.machine.tegrastats import parse_tegrastats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

__all__ = ["Energy", "Reading", "Watch", "energy_of", "watch_of"]

_PERIOD_S = 0.1
# Nothing at the ends of a window counts: clocks and regulators need this long to follow.
_TRIM_S = 0.5
_FEWEST_READINGS = 3
_CARD = "the card"
_ROOT = Path("/")


@dataclass(frozen=True)
class Reading:
    """One moment of a watch; `rails_mw` is empty and the others None where they can't be read.

    Attributes:
        at: of `time.perf_counter`.
        rails_mw: power by rail, in milliwatts.
        gpu_mhz: the GPU's clock.
        gpu_cap_mhz: the highest that it may have now.
        held_back: why the driver, or a rail's alarm, says that the clock is lowered.
    """

    at: float
    rails_mw: Mapping[str, float] = field(default_factory=dict)
    gpu_mhz: float | None = None
    gpu_cap_mhz: float | None = None
    held_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Energy:
    """What a series took, less what the machine takes at rest.

    Attributes:
        source: "INA3221", "tegrastats" or "nvidia-smi".
        rails: that were added up.
        active_w: mean while it ran.
        idle_w: mean before it, the model being loaded.
        joules_per_frame: of the difference.
    """

    source: str
    rails: tuple[str, ...]
    active_w: float
    idle_w: float
    joules_per_frame: float


class Watch:
    """Takes readings between `__enter__` and `__exit__`.

    Args:
        source: where power comes from, for people; empty where it is unknown.
        poll: takes a reading; None where a program is listened to.
        command: the program, which prints a line a period.
        parse: makes a reading of its line; None for a line that is none.
    """

    def __init__(
        self,
        source: str,
        *,
        poll: Callable[[], Reading] | None = None,
        command: Sequence[str] = (),
        parse: Callable[[str], Reading | None] | None = None,
    ) -> None:
        self.source = source
        self.readings: list[Reading] = []
        self._poll, self._command, self._parse = poll, command, parse
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    @property
    def knows_power(self) -> bool:
        """Whether there is a source of power at all."""
        return bool(self.source)

    def __enter__(self) -> Watch:
        if self._command:
            with suppress(OSError):
                self._process = subprocess.Popen(  # noqa: S603 - a fixed program with fixed arguments
                    list(self._command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
                )
        work = self._listen if self._process else self._take
        self._thread = threading.Thread(target=work, name="amfac-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._thread is not None:
            self._thread.join()
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def _take(self) -> None:
        while self._poll is not None and not self._ended.is_set():
            self.readings.append(self._poll())
            self._ended.wait(_PERIOD_S)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._parse is not None
        for line in self._process.stdout:
            reading = self._parse(line)
            if reading is not None:
                self.readings.append(reading)


def watch_of(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> Watch:
    """A watch over the machine whose file system begins at `root`."""
    rails = read_rails(root)
    tegrastats = program_on(root, environ, "tegrastats")
    if rails and (not tegrastats or not set(MODULE_RAILS).isdisjoint(rails)):
        return Watch("INA3221", poll=lambda: _reading_of_board(root))
    if tegrastats:
        milliseconds = str(round(_PERIOD_S * 1000))
        return Watch(
            "tegrastats", command=[tegrastats, "--interval", milliseconds], parse=lambda line: _from_tegra(line, root)
        )
    smi = nvidia_smi(root, environ)
    if smi:
        milliseconds = str(round(_PERIOD_S * 1000))
        return Watch("nvidia-smi", command=[smi, *CARD_QUERY, f"--loop-ms={milliseconds}"], parse=_from_card)
    if read_gpu_clock(root):
        return Watch("", poll=lambda: _reading_of_board(root))
    return Watch("")


def energy_of(
    source: str, idle: Sequence[Reading], readings: Sequence[Reading], window: tuple[float, float], frames: int
) -> Energy | None:
    """The energy of a frame, by the trapezoidal rule over the window less half a second at either end.

    Args:
        source: of the readings.
        idle: readings at rest.
        readings: at work, and perhaps before and after it.
        window: of the work, by `time.perf_counter`.
        frames: that were done in it.

    Returns:
        None where there are too few readings with power in it, or at rest.
    """
    start, end = window
    rest = _powers(idle)
    work = _powers([one for one in readings if start + _TRIM_S <= one.at <= end - _TRIM_S])
    if rest is None or work is None:
        return None
    rails, times, watts = work
    active = float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times)) / (times[-1] - times[0]))
    resting = float(np.sum((rest[2][1:] + rest[2][:-1]) / 2 * np.diff(rest[1])) / (rest[1][-1] - rest[1][0]))
    return Energy(source, rails, active, resting, (active - resting) * (end - start) / frames)


def _powers(readings: Sequence[Reading]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray] | None:
    """Rails, times (N,) in seconds and watts (N,), of readings that all have the same rails."""
    known = [(one.at, power) for one in readings if (power := module_power(one.rails_mw))]
    known = [(at, power) for at, power in known if power[0] == known[0][1][0]]
    if len(known) < _FEWEST_READINGS:
        return None
    times = np.array([at for at, _ in known], np.float64)
    return known[0][1][0], times, np.array([power[1] / 1000 for _, power in known], np.float64)


def _reading_of_board(root: Path) -> Reading:
    clock = read_gpu_clock(root)
    return Reading(
        at=time.perf_counter(),
        rails_mw=read_rails(root),
        gpu_mhz=clock.now_mhz if clock else None,
        gpu_cap_mhz=clock.max_mhz if clock else None,
        held_back=tuple(f"critical current of {name}" for name in current_alarms(root)),
    )


def _from_tegra(line: str, root: Path) -> Reading | None:
    stats = parse_tegrastats(line)
    if stats is None:
        return None
    clock = read_gpu_clock(root)
    return Reading(
        at=time.perf_counter(),
        rails_mw=stats.rails_mw,
        gpu_mhz=clock.now_mhz if clock else min(stats.gpu_mhz, default=None),
        gpu_cap_mhz=clock.max_mhz if clock else None,
    )


def _from_card(line: str) -> Reading | None:
    state = card_state_of(line)
    if state is None:
        return None
    rails = {} if state.power_w is None else {_CARD: state.power_w * 1000}
    return Reading(
        at=time.perf_counter(),
        rails_mw=rails,
        gpu_mhz=state.sm_mhz,  # its highest clock is a promise for cold chips: no cap to be held against
        held_back=state.held_back or (),
    )
