"""What a build may be told besides what its artefact and target say: `BuildOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from amfac_edge.artefact import RTX
from amfac_edge.errors import InputError

__all__ = ["BuildOptions"]

_RTX_SECONDS, _BOARD_SECONDS = 900.0, 3600.0
# Ten times what the largest network here was seen to need, and still no danger to a machine that builds for others.
_RTX_MEMORY_MIB = 6144
_HIGHEST_LEVEL = 5


@dataclass(frozen=True)
class BuildOptions:
    """What a build is told; every default leaves the choice to the target or the library.

    Attributes:
        workspace_mib: limit of the builder's scratch memory; None for the target's (TensorRT-RTX: the library's own).
        optimization_level: of TensorRT's builder, 0 (quickest build) to 5 (most tactics tried); None for its own, 3.
        version_compatible: the plan shall run in later releases of TensorRT too, by the lean runtime inside it, which
            is code for the CPU.
        timing_cache: what one build measured serves the next one, on the same machine in the same power mode.
        any_gpu: TensorRT proper may build although this machine's GPU is not of the target's kind; the manifest says
            what it was built for.
        trial: run a plan of TensorRT proper where it was built, if it can be, before it is written.
        memory_check: compare free memory with what a build may take, and refuse to begin one that is short of it.
        memory_mib: limit of what the building process may allocate; 0 for none; None for 6 GiB of TensorRT-RTX, and
            none of TensorRT proper, which nobody has seen under one.
        timeout_s: after which a build is given up; None for a quarter of an hour, of TensorRT proper a whole one: on a
            board a build takes minutes.
    """

    workspace_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    timing_cache: bool = True
    any_gpu: bool = False
    trial: bool = True
    memory_check: bool = True
    memory_mib: int | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.optimization_level is not None and not 0 <= self.optimization_level <= _HIGHEST_LEVEL:
            raise InputError(
                f"optimisation level {self.optimization_level} is not 0 to {_HIGHEST_LEVEL}",
                cure="Leave it out for TensorRT's own, which is 3.",
            )
        for name, least in (("workspace_mib", 1), ("memory_mib", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} {value:g} is below {least}", cure="Leave it out for the target's own.")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise InputError(f"a build can't end within {self.timeout_s:g} s", cure="Give seconds above 0.")

    def seconds(self, flavour: str) -> float:
        """The time limit of a build by "tensorrt" or "tensorrt-rtx"."""
        default = _RTX_SECONDS if flavour == RTX else _BOARD_SECONDS
        return default if self.timeout_s is None else self.timeout_s

    def memory_bytes(self, flavour: str) -> int | None:
        """The memory limit of a build by "tensorrt" or "tensorrt-rtx"; None for none."""
        limit = self.memory_mib if self.memory_mib is not None or flavour != RTX else _RTX_MEMORY_MIB
        return limit << 20 if limit else None
