"""What an NVIDIA card does now, asked of `nvidia-smi`: power, clocks, temperature, why it is slowed down.

A field that the driver answers with "[Not Supported]" or "[N/A]" is None: all of them on a Jetson Orin, power on some
cards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.machine.cards import ask_nvidia_smi

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CARD_QUERY", "CardState", "card_state_of", "read_card_state"]

_FIELDS = (
    "power.draw",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "temperature.gpu",
    "memory.used",
    "clocks_throttle_reasons.active",
)
CARD_QUERY = (f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")
# Bits of nvmlClocksThrottleReasons (nvml.h) that mean the card was held back, not that it idles or was told a clock.
_HELD_BACK = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal slowdown by the driver",
    0x40: "thermal slowdown by the hardware",
    0x80: "power brake",
}


@dataclass(frozen=True)
class CardState:
    """The first card; None for what the driver doesn't tell.

    Attributes:
        power_w: drawn by the board.
        sm_mhz: clock of the multiprocessors.
        sm_max_mhz: the highest that it may have.
        memory_mhz: clock of its memory.
        temperature_c: of the GPU.
        memory_used_mib: of its memory.
        held_back: why its clock is below what it could be; empty where nothing holds it back, None where the driver
            doesn't tell.
    """

    power_w: float | None = None
    sm_mhz: float | None = None
    sm_max_mhz: float | None = None
    memory_mhz: float | None = None
    temperature_c: float | None = None
    memory_used_mib: float | None = None
    held_back: tuple[str, ...] | None = None


def read_card_state(root: Path, environ: Mapping[str, str]) -> CardState | None:
    """The first card as it is now; None where no driver answers."""
    lines = ask_nvidia_smi(root, environ, CARD_QUERY).splitlines()
    return card_state_of(lines[0]) if lines else None


def card_state_of(line: str) -> CardState | None:
    """What one line of `CARD_QUERY` says; None where it is no such line."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != len(_FIELDS):
        return None
    *numbers, reasons = cells
    power_w, sm_mhz, sm_max_mhz, memory_mhz, temperature_c, memory_used_mib = map(_number, numbers)
    return CardState(
        power_w, sm_mhz, sm_max_mhz, memory_mhz, temperature_c, memory_used_mib, held_back=_held_back(reasons)
    )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _held_back(cell: str) -> tuple[str, ...] | None:
    try:
        bits = int(cell, 16)
    except ValueError:
        return None
    return tuple(name for bit, name in _HELD_BACK.items() if bits & bit)
