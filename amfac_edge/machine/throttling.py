"""Counters and switches by which a machine tells that it was slowed down.

Of a Jetson: `soctherm_oc` counts under-voltage (oc1), average over-current (oc2) and instantaneous over-current (oc3);
cooling devices are above zero while they hold a clock down. Of an x86 processor: thermal_throttle. Of a container with
a quota: cpu.stat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amfac_edge.machine.rails import current_alarms
from amfac_edge.machine.system_files import number_in, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SlowDowns", "read_slow_downs"]

_OVER_CURRENT = ("oc1", "oc2", "oc3")


@dataclass(frozen=True)
class SlowDowns:
    """What was counted so far; a counter that the machine doesn't have is absent.

    Attributes:
        events: by counter: "oc1".."oc3" of a Jetson, "thermal" of an x86 processor, "quota" of a container.
        cooling: cooling devices that hold something down now, by their type.
        alarms: rails at their critical current now.
    """

    events: Mapping[str, int] = field(default_factory=dict)
    cooling: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


def read_slow_downs(root: Path) -> SlowDowns:
    """The counters of the machine whose file system begins at `root`."""
    events: dict[str, int] = {}
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        place = str(folder.relative_to(root))
        if text_of(root, f"{place}/name") == "soctherm_oc":
            counted = {name: number_in(root, f"{place}/{name}_event_cnt") for name in _OVER_CURRENT}
            events |= {name: int(value) for name, value in counted.items() if value is not None}
    cores = [
        number_in(root, str(file.relative_to(root)))
        for file in root.glob("sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")
    ]
    if cores:
        events["thermal"] = int(sum(value or 0 for value in cores))
    quota = re.search(r"^nr_throttled (\d+)$", text_of(root, "sys/fs/cgroup/cpu.stat"), flags=re.MULTILINE)
    if quota:
        events["quota"] = int(quota[1])
    return SlowDowns(events, tuple(_cooling(root)), tuple(current_alarms(root)))


def _cooling(root: Path) -> list[str]:
    """Types of the cooling devices at work; a fan that turns holds nothing down."""
    found = []
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        place = str(folder.relative_to(root))
        kind = text_of(root, f"{place}/type")
        if (number_in(root, f"{place}/cur_state") or 0) > 0 and "fan" not in kind.lower():
            found.append(kind or folder.name)
    return found
