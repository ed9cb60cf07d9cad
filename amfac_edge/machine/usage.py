"""What this process and this machine use now."""

from __future__ import annotations

import os
from pathlib import Path

from amfac_edge.machine.system_files import number_in, text_of

__all__ = ["board_watts", "resident_bytes"]

_ROOT = Path("/")
# The rail of the whole module, as Jetson Linux labels it.
_WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
_CHANNELS = (1, 2, 3)


def resident_bytes(root: Path = _ROOT) -> int:
    """Memory of this process that lies in RAM; 0 where /proc can't be read."""
    pages = text_of(root, "proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def board_watts(root: Path = _ROOT) -> float | None:
    """Power of a whole Jetson module by its own sensor (INA3221); None where there is none."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        place = str(folder.relative_to(root))
        for channel in _CHANNELS:
            if text_of(root, f"{place}/in{channel}_label") in _WHOLE_BOARD:
                millivolts, milliamperes = (
                    number_in(root, f"{place}/{kind}{channel}_input") for kind in ("in", "curr")
                )
                if millivolts is not None and milliamperes is not None:
                    return millivolts * milliamperes / 1e6
    return None
