"""What this process and this machine use now."""

from __future__ import annotations

import os
from pathlib import Path

from amfac_edge.machine.rails import module_power, read_rails
from amfac_edge.machine.system_files import text_of

__all__ = ["board_watts", "resident_bytes"]

_ROOT = Path("/")


def resident_bytes(root: Path = _ROOT) -> int:
    """Memory of this process that lies in RAM; 0 where /proc can't be read."""
    pages = text_of(root, "proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def board_watts(root: Path = _ROOT) -> float | None:
    """Power of a whole Jetson module by its own sensors (see `rails`); None where there are none."""
    power = module_power(read_rails(root))
    return None if power is None else power[1] / 1000
