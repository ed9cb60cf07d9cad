"""How busy other processes keep this machine: a measurement beside them is worth less.

Two figures, since neither tells all: what others took of the cores that this process may use (in a container /proc/stat
is that of the whole host, whose other cores are nobody's business here), and how long this process's own threads were
ready to run and had no core.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.machine.system_files import text_of

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["cpu_seconds_of_others", "slept_seconds", "waited_seconds"]

_IDLE_COLUMNS = (3, 4)  # idle, iowait: proc(5)
_COLUMNS = 8  # the later ones (guest) are counted in the first two already
_ROOT = Path("/")


def cpu_seconds_of_others(root: Path = _ROOT, cores: Collection[int] | None = None) -> float | None:
    """CPU seconds since boot that all processes but this one and its ended children used; None without /proc/stat.

    Args:
        root: of the file system.
        cores: that count; None for those that this process may use. All do where the file lists none of its own.
    """
    rows = {row[0]: row[1:] for row in map(str.split, text_of(root, "proc/stat").splitlines()) if row}
    wanted = [f"cpu{core}" for core in (os.sched_getaffinity(0) if cores is None else cores)]
    names = wanted if all(name in rows for name in wanted) else ["cpu"]
    try:
        ticks = [[int(column) for column in rows[name][:_COLUMNS]] for name in names]
    except (KeyError, ValueError):
        return None
    if not any(map(any, ticks)):  # a sandbox that shows zeros
        return None
    busy = sum(value for row in ticks for column, value in enumerate(row) if column not in _IDLE_COLUMNS)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time() - children.ru_utime - children.ru_stime


def waited_seconds(root: Path = _ROOT) -> float | None:
    """Seconds that this process's threads were ready to run and had no core; None where the kernel doesn't tell."""
    waited = [text_of(root, str(file.relative_to(root))).split() for file in root.glob("proc/self/task/*/schedstat")]
    try:
        return sum(int(row[1]) for row in waited) / 1e9 if waited else None
    except (IndexError, ValueError):
        return None


def slept_seconds() -> float:
    """Seconds that the machine was suspended since boot: the clock of every measurement stands still meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
