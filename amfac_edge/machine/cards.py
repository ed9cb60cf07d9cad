"""NVIDIA cards of a desktop machine, asked of `nvidia-smi`, so that no CUDA library is loaded."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.machine.system_files import program_on, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Card", "Cards", "ask_nvidia_smi", "nvidia_smi", "read_cards"]

_TIMEOUT_S = 10.0
_QUERY = ("--query-gpu=name,compute_cap,memory.total,driver_version", "--format=csv,noheader,nounits")
_NVIDIA, _DISPLAY_CLASS = "0x10de", "0x03"


@dataclass(frozen=True)
class Card:
    """One card; `memory_mib` in MiB, None where the driver doesn't say."""

    name: str
    compute_capability: str
    memory_mib: int | None


@dataclass(frozen=True)
class Cards:
    """The NVIDIA cards that answer.

    Attributes:
        cards: in nvidia-smi's order.
        driver: version of the driver; None where none is loaded.
        on_bus: NVIDIA display devices on the PCI bus, whether a driver answers for them or not.
    """

    cards: tuple[Card, ...]
    driver: str | None
    on_bus: int


def read_cards(root: Path, environ: Mapping[str, str]) -> Cards:
    """The cards of the machine whose file system begins at `root`."""
    rows = [[cell.strip() for cell in line.split(",")] for line in ask_nvidia_smi(root, environ, _QUERY).splitlines()]
    rows = [row for row in rows if len(row) == 4]  # noqa: PLR2004 - the four fields of the query
    cards = tuple(Card(name, capability, _whole(memory)) for name, capability, memory, _ in rows)
    module = re.search(r"\s(\d{3,}\.\d+(?:\.\d+)?)\s", text_of(root, "proc/driver/nvidia/version"))
    driver = module[1] if module else next((row[3] for row in rows), None)
    return Cards(cards, driver, _on_bus(root))


def nvidia_smi(root: Path, environ: Mapping[str, str]) -> str | None:
    """The path of nvidia-smi on the machine whose file system begins at `root`; None where there is none."""
    return program_on(root, environ, "nvidia-smi")


def ask_nvidia_smi(root: Path, environ: Mapping[str, str], query: Sequence[str]) -> str:
    """What nvidia-smi answers to `query`; empty where there is none, or no driver."""
    program = nvidia_smi(root, environ)
    if program is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [program, *query], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # Without a driver it ends with 9, and what it prints is no table.
    return answer.stdout.decode(errors="replace") if answer.returncode == 0 else ""


def _on_bus(root: Path) -> int:
    devices = [folder.name for folder in (root / "sys/bus/pci/devices").glob("*")]
    return sum(
        text_of(root, f"sys/bus/pci/devices/{device}/vendor") == _NVIDIA
        and text_of(root, f"sys/bus/pci/devices/{device}/class").startswith(_DISPLAY_CLASS)
        for device in devices
    )


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
