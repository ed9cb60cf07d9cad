"""Power by rail from the INA3221 monitors of a Jetson, and which rails make up the module.

Orin Nano and NX have VDD_IN, the module's whole input, beside parts of it (VDD_CPU_GPU_CV, VDD_SOC). AGX Orin has no
such rail: its rails are summed. Thor's is VIN, which its INA3221 doesn't see; tegrastats does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.machine.system_files import number_in, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MODULE_RAILS", "current_alarms", "module_power", "read_rails"]

MODULE_RAILS = ("VDD_IN", "VIN")
_CHIPS = "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"
_CHANNELS = (1, 2, 3)
_UNUSED = ("", "NC")


def read_rails(root: Path) -> dict[str, float]:
    """Milliwatts by rail, now; empty where the machine has no such monitor, or it can't be read."""
    rails = {}
    for chip, channel, name in _rails(root):
        millivolts, milliamperes = (
            number_in(root, f"{chip}/{part}_input") for part in (f"in{channel}", f"curr{channel}")
        )
        if millivolts is not None and milliamperes is not None:
            rails[name] = millivolts * milliamperes / 1000
    return rails


def current_alarms(root: Path) -> list[str]:
    """The rails whose current is at its critical limit right now."""
    return [name for chip, channel, name in _rails(root) if number_in(root, f"{chip}/curr{channel}_crit_alarm")]


def module_power(rails_mw: Mapping[str, float]) -> tuple[tuple[str, ...], float] | None:
    """The rails that are the module, and their milliwatts; None where there are no rails."""
    if not rails_mw:
        return None
    whole = next((name for name in MODULE_RAILS if name in rails_mw), None)
    names = (whole,) if whole else tuple(sorted(rails_mw))
    return names, sum(rails_mw[name] for name in names)


def _rails(root: Path) -> list[tuple[str, int, str]]:
    """Folder, channel and name of each rail; the seventh "channel" of a chip is a sum, and no rail."""
    found = []
    for folder in sorted(root.glob(_CHIPS)):
        chip = str(folder.relative_to(root))
        for channel in _CHANNELS:
            name = text_of(root, f"{chip}/in{channel}_label")
            if name not in _UNUSED:
                found.append((chip, channel, name))
    return found
