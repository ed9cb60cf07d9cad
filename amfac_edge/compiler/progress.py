"""How far a build is: told by TensorRT's progress monitor from 10.0 on, before that by our own steps alone.

The child hands each report to its parent; when nobody listens any more (Ctrl-C, the time limit, a parent that is gone)
the monitor tells the builder to stop.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.children import tell_parent

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BuildProgress", "Listener", "progress_monitor", "tell_stage"]

_PAUSE_S = 0.2
_LONGEST_NAME = 80


@dataclass(frozen=True)
class BuildProgress:
    """Where a build is.

    Attributes:
        stage: what we do ("parsing", "building", "reading the layers").
        elapsed_s: since the build began, in seconds.
        phase: the builder's own word for what it does within; empty where it doesn't tell.
        step: of the phase, finished ones.
        steps: of the phase; 0 where it has none.
    """

    stage: str
    elapsed_s: float
    phase: str = ""
    step: int = 0
    steps: int = 0


def tell_stage(stage: str) -> None:
    """Tell the parent what begins, from the child."""
    tell_parent({"stage": stage})


def progress_monitor(trt: Any) -> Any:  # noqa: ANN401 - TensorRT's own
    """A monitor for the builder of `trt`, in the child; None for TensorRT 8.6, which has none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called by the builder, from several threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._lock = threading.Lock()
            self._open: dict[str, tuple[int, int]] = {}
            self._told_at = 0.0
            self._wanted = True

        def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._open[phase_name] = (0, num_steps)
                self._tell()

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                self._open[phase_name] = (step + 1, self._open.get(phase_name, (0, 0))[1])
                self._tell()
                return self._wanted

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._open.pop(phase_name, None)

        def _tell(self) -> None:
            now = time.monotonic()
            # Some phases have a step for each of hundreds of nodes, a microsecond each.
            if self._open and now - self._told_at >= _PAUSE_S:
                self._told_at = now
                phase, (step, steps) = next(reversed(self._open.items()))
                self._wanted = tell_parent({"phase": phase, "step": step, "steps": steps}) and self._wanted

    return Monitor()


class Listener:
    """The parent's end: what the child reports becomes `BuildProgress`, again and again while nothing comes.

    Args:
        progress: called with it.
    """

    def __init__(self, progress: Callable[[BuildProgress], None]) -> None:
        self._progress = progress
        self._began = time.monotonic()
        self._stage = "starting"
        self._phase: tuple[str, int, int] = ("", 0, 0)

    def stage(self, name: str) -> None:
        """Begin a stage of ours."""
        self._stage, self._phase = name, ("", 0, 0)
        self._tell()

    def __call__(self, value: object) -> None:
        """Take what the child said, of which only what makes sense is believed; None for silence."""
        if isinstance(value, dict) and isinstance(value.get("stage"), str):
            self.stage(_shown(value["stage"]))
            return
        if isinstance(value, dict) and isinstance(value.get("phase"), str):
            step, steps = value.get("step"), value.get("steps")
            self._phase = (_shown(value["phase"]), 0, 0)
            if isinstance(step, int) and isinstance(steps, int) and 0 <= step <= steps:
                self._phase = (self._phase[0], step, steps)
        self._tell()

    def _tell(self) -> None:
        self._progress(BuildProgress(self._stage, time.monotonic() - self._began, *self._phase))


def _shown(name: str) -> str:
    """A name of the child's that can't steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in name[:_LONGEST_NAME]).strip()
