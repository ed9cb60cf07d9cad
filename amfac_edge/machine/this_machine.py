"""This machine in one value, and the target that `auto` means on it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.declared.target import Target, load_target, load_targets, target_names
from amfac_edge.errors import MachineError
from amfac_edge.machine.cards import Cards, read_cards
from amfac_edge.machine.jetson import BOARD_VARIABLE, Jetson, read_jetson
from amfac_edge.machine.processor import MemoryNow, Processor, read_memory_now, read_processor
from amfac_edge.machine.system_files import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "Machine", "read_machine", "target_of", "target_of_this_machine", "targets_for"]

AUTO = "auto"
_ROOT = Path("/")


@dataclass(frozen=True)
class Machine:
    """What a machine is and does now.

    Attributes:
        system: the distribution ("Ubuntu 22.04.5 LTS"), empty where it doesn't say.
        kernel: release of Linux.
        processor: of the machine.
        memory: as it is now.
        jetson: the board; None on any other machine.
        cards: NVIDIA cards; not asked for on a Jetson, whose GPU is no card.
    """

    system: str
    kernel: str
    processor: Processor
    memory: MemoryNow
    jetson: Jetson | None
    cards: Cards


def read_machine(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> Machine:
    """The machine whose file system begins at `root`.

    Raises:
        DeclaredError: AMFAC_BOARD names no Jetson target.
    """
    jetson = read_jetson(root, environ)
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', text_of(root, "etc/os-release"), flags=re.MULTILINE)
    return Machine(
        system=system[1] if system else "",
        kernel=text_of(root, "proc/sys/kernel/osrelease"),
        processor=read_processor(root),
        memory=read_memory_now(root),
        jetson=jetson,
        cards=Cards((), None, 0) if jetson else read_cards(root, environ),
    )


def target_of(machine: Machine) -> str | None:
    """The declared target for `machine`; None where its board, or no compute capability of its cards, is declared.

    A card is matched by its compute capability, which is what an engine depends on; a machine without a working NVIDIA
    GPU is the target "cpu".
    """
    if machine.jetson:
        return machine.jetson.target
    if not machine.cards.cards:
        return "cpu"
    declared = [target for target in map(load_target, target_names()) if target.kind == "rtx"]
    capabilities = {target.gpu.compute_capability: target.name for target in declared if target.gpu}
    return next((found for card in machine.cards.cards if (found := capabilities.get(card.compute_capability))), None)


def target_of_this_machine(root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> str | None:
    """The name that `--target auto` means here; None where no declared target fits this machine."""
    return target_of(read_machine(root, environ))


def targets_for(names: str, root: Path = _ROOT, environ: Mapping[str, str] = os.environ) -> tuple[Target, ...]:
    """The targets of a comma list in which "auto" stands for this machine.

    Raises:
        DeclaredError: as `load_targets`.
        MachineError: "auto" is among the names and no declared target fits this machine.
    """
    words = [word.strip() for word in names.split(",")]
    if AUTO in words:
        machine = read_machine(root, environ)
        here = target_of(machine)
        if here is None:
            raise _undeclared(machine)
        words = [here if word == AUTO else word for word in words]
    return load_targets(",".join(words))


def _undeclared(machine: Machine) -> MachineError:
    if machine.jetson:
        problem = f"auto: {machine.jetson.title} is none of the declared boards, or its device tree can't be seen"
        cure = f"Name the target, or in a container pass -e {BOARD_VARIABLE}=TARGET; amfac-info lists the targets."
    else:
        card = machine.cards.cards[0]
        problem = f"auto: no declared target for {card.name} (compute capability {card.compute_capability})"
        cure = "Name a target, or give the path of a TOML file of your own; amfac-info lists the targets."
    return MachineError(problem, cure=cure)
