"""This machine as a preflight sees it; no engine's library is loaded to find out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from amfac_edge.artefact import ONNXRUNTIME, RTX, TENSORRT, Host, HostGpu
from amfac_edge.declared.target import load_target
from amfac_edge.machine.packages import TENSORRT_OF_PIP, Packages
from amfac_edge.machine.this_machine import Machine, read_machine, target_of
from amfac_edge.sessions.tensorrt_library import LEAN

if TYPE_CHECKING:
    from amfac_edge.machine.jetson import Jetson

__all__ = ["host_of", "this_host"]

# By library: the module, and the distributions that may have brought it; where two will do, the first that is here.
_MODULES = (
    (TENSORRT, "tensorrt", ("tensorrt", *TENSORRT_OF_PIP)),
    (TENSORRT, LEAN, ("tensorrt-lean", "tensorrt-lean-cu12", "tensorrt-lean-cu13")),
    (RTX, "tensorrt_rtx", ("tensorrt-rtx",)),
    (ONNXRUNTIME, "onnxruntime", ("onnxruntime", "onnxruntime-gpu")),
)


def this_host() -> Host:
    """The machine that runs this.

    Raises:
        DeclaredError: AMFAC_BOARD names no Jetson target.
    """
    return host_of(read_machine(), Packages())


def host_of(machine: Machine, packages: Packages) -> Host:
    """The same of a machine and the packages that Python finds on it."""
    jetson = machine.jetson
    return Host(
        system=sys.platform,
        architecture="aarch64" if jetson else machine.processor.architecture,
        target=target_of(machine),
        gpus=_gpus(machine),
        libraries=_libraries(jetson, packages),
        l4t=(jetson.l4t or "unknown") if jetson else None,
        driver=machine.cards.driver,
        power_mode=jetson.power_mode if jetson else None,
    )


def _gpus(machine: Machine) -> tuple[HostGpu, ...]:
    if machine.jetson is None:
        return tuple(HostGpu(card.compute_capability, card.name) for card in machine.cards.cards)
    target = load_target(machine.jetson.target) if machine.jetson.target else None
    if target is None or target.gpu is None:
        return (HostGpu(""),)
    mode = machine.jetson.power_mode and target.mode_on_board(
        machine.jetson.power_mode, super_configuration=machine.jetson.super_configuration
    )
    return (HostGpu(target.gpu.compute_capability, None, mode.sms if mode else None),)


def _libraries(jetson: Jetson | None, packages: Packages) -> dict[str, str]:
    found: dict[str, str] = {}
    for library, module, distributions in _MODULES:
        if library not in found and packages.importable(module):
            found[library] = next(iter(packages.installed(distributions).values()), "")
    # A board's own TensorRT comes without pip's records; its JetPack says which one it is.
    if jetson and jetson.stack and jetson.jetpack == jetson.stack.jetpack and found.get(TENSORRT) == "":
        found[TENSORRT] = jetson.stack.tensorrt
    return found
