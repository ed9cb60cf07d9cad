"""NVIDIA cards of a desktop machine, asked of `nvidia-smi`, so that no CUDA library is loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.machine.system_files import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Card", "Cards", "read_cards"]

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
    rows = [[cell.strip() for cell in line.split(",")] for line in _ask(root, environ).splitlines()]
    rows = [row for row in rows if len(row) == 4]  # noqa: PLR2004 - the four fields of the query
    cards = tuple(Card(name, capability, _whole(memory)) for name, capability, memory, _ in rows)
    module = re.search(r"\s(\d{3,}\.\d+(?:\.\d+)?)\s", text_of(root, "proc/driver/nvidia/version"))
    driver = module[1] if module else next((row[3] for row in rows), None)
    return Cards(cards, driver, _on_bus(root))


def _ask(root: Path, environ: Mapping[str, str]) -> str:
    folders = [str(root / folder.lstrip("/")) for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    program = shutil.which("nvidia-smi", path=os.pathsep.join(folders))
    if program is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program with fixed arguments
            [program, *_QUERY], capture_output=True, timeout=_TIMEOUT_S, check=False
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
