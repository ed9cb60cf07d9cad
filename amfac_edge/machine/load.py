"""How busy other processes keep this machine: a measurement beside them is worth less."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["cpu_seconds_of_others"]

_IDLE_COLUMNS = (3, 4)  # idle, iowait: proc(5)
_COLUMNS = 8  # the later ones (guest) are counted in the first two already


def cpu_seconds_of_others(root: Path = Path("/")) -> float | None:
    """CPU seconds since boot that all processes but this one have used; None where /proc/stat can't be read."""
    try:
        first = (root / "proc/stat").read_text().partition("\n")[0].split()
        ticks = [int(column) for column in first[1 : 1 + _COLUMNS]]
    except (OSError, ValueError):
        return None
    busy = sum(value for column, value in enumerate(ticks) if column not in _IDLE_COLUMNS)
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()
