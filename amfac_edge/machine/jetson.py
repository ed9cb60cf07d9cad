"""A Jetson board: which module it is, which JetPack it runs, in which power mode and configuration; read without sudo.

Sources: the device tree (`/proc/device-tree`), `/etc/nv_tegra_release`, nvpmodel's configuration and status, devfreq. A
container can't see the device tree; there the environment variable AMFAC_BOARD names the board.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.declared.target import Target, load_target, target_names
from amfac_edge.errors import DeclaredError
from amfac_edge.machine.system_files import number_in, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from amfac_edge.declared.target_parts import Stack

__all__ = ["BOARD_VARIABLE", "GpuClock", "Jetson", "read_gpu_clock", "read_jetson", "read_power_mode"]

BOARD_VARIABLE = "AMFAC_BOARD"
# The GPU in devfreq: JetPack 6, JetPack 5, JetPack 7.
_GPU_FOLDERS = ("17000000.gpu", "17000000.ga10b", "gpu-gpc-0")


@dataclass(frozen=True)
class GpuClock:
    """The GPU's clock in MHz: now, and the limits that the power mode (or jetson_clocks) sets."""

    now_mhz: float
    min_mhz: float
    max_mhz: float


@dataclass(frozen=True)
class Jetson:
    """A Jetson board.

    Attributes:
        title: the board's own name, or the target's.
        board_id: its module ("p3767-0003"); None where the device tree can't be seen or names none.
        target: the declared target's name; None for a board that isn't declared.
        super_configuration: it was flashed with the Super configuration, so that its Super modes exist.
        l4t: release of Jetson Linux ("36.4.7").
        jetpack: its JetPack; only the major version ("6") where the release isn't among the declared ones.
        stack: the software of that JetPack; of the newest declared one of the same major where the release isn't known.
        power_mode: nvpmodel's current mode, by name.
        gpu_clock: None where devfreq shows no GPU.
    """

    title: str
    board_id: str | None
    target: str | None
    super_configuration: bool
    l4t: str | None
    jetpack: str | None
    stack: Stack | None
    power_mode: str | None
    gpu_clock: GpuClock | None


def read_jetson(root: Path, environ: Mapping[str, str]) -> Jetson | None:
    """The Jetson whose file system begins at `root`; None for any other machine.

    Raises:
        DeclaredError: AMFAC_BOARD names no Jetson target.
    """
    compatible = text_of(root, "proc/device-tree/compatible").lower()
    l4t = _l4t(text_of(root, "etc/nv_tegra_release"))
    named = environ.get(BOARD_VARIABLE)
    if not named and not l4t and "tegra" not in compatible:
        return None
    boards = [target for target in map(load_target, target_names()) if target.kind == "jetson"]
    modules = re.findall(r"p\d{4}-\d{4}", compatible)
    target = _named_board(named, boards) if named else _board_of(modules, boards)
    jetpack, stack = _software(l4t, [target] if target else boards)
    model = text_of(root, "proc/device-tree/model") or text_of(root, "tmp/nv_jetson_model")
    return Jetson(
        title=model or (target.title if target else "NVIDIA Jetson"),
        board_id=next((module for module in modules if target and module in target.board_ids), None),
        target=target.name if target else None,
        super_configuration=any(name.endswith("-super") for name in compatible.split()),
        l4t=l4t,
        jetpack=jetpack,
        stack=stack,
        power_mode=read_power_mode(root),
        gpu_clock=read_gpu_clock(root),
    )


def _named_board(name: str, boards: list[Target]) -> Target:
    try:
        target = load_target(name)
    except DeclaredError as error:
        raise DeclaredError(f"{BOARD_VARIABLE}: {error.problem}", cure=error.cure) from error
    if target.kind != "jetson":
        known = ", ".join(board.name for board in boards)
        raise DeclaredError(f'{BOARD_VARIABLE}: "{name}" is no Jetson board', cure=f"Unset it, or give one of {known}.")
    return target


def _board_of(modules: list[str], boards: list[Target]) -> Target | None:
    return next((board for board in boards if not set(modules).isdisjoint(board.board_ids)), None)


def _l4t(release: str) -> str | None:
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", release)
    return f"{found[1]}.{found[2]}" if found else None


def _software(l4t: str | None, boards: list[Target]) -> tuple[str | None, Stack | None]:
    if l4t is None:
        return None, None
    stacks = [stack for board in boards for stack in board.stacks]
    exact = [stack for stack in stacks if stack.has_l4t(l4t)]
    if exact:
        return exact[0].jetpack, exact[0]
    major = l4t.split(".")[0]
    kin = [stack for stack in stacks if any(known.split(".")[0] == major for known in stack.l4t)]
    return (kin[-1].jetpack.split(".")[0], kin[-1]) if kin else (None, None)


def read_power_mode(root: Path) -> str | None:
    """The current mode's name: the status holds a number, whose meaning is the configuration file's affair."""
    number = re.search(r"pmode:(\d+)", text_of(root, "var/lib/nvpmodel/status"))
    modes = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text_of(root, "etc/nvpmodel.conf"))
    return {int(key): name for key, name in modes}.get(int(number[1])) if number else None


def read_gpu_clock(root: Path) -> GpuClock | None:
    """The clock of the GPU that devfreq shows; None where it shows none, or not all of it can be read."""
    for folder in _GPU_FOLDERS:
        hertz = [number_in(root, f"sys/class/devfreq/{folder}/{which}_freq") for which in ("cur", "min", "max")]
        known = [value / 1e6 for value in hertz if value is not None]
        if len(known) == len(hertz):
            return GpuClock(*known)
    return None
