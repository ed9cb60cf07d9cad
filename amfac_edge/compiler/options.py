"""What a build may be told besides what its artefact and target say: `BuildOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from amfac_edge.artefact import RTX

__all__ = ["BuildOptions"]

_RTX_SECONDS, _BOARD_SECONDS = 900.0, 3600.0


@dataclass(frozen=True)
class BuildOptions:
    """What a build is told; every default leaves the choice to the target or the library.

    Attributes:
        workspace_mib: limit of the builder's scratch memory; None for the target's (TensorRT-RTX: the library's own).
        timeout_s: after which a build is given up; None for a quarter of an hour, of TensorRT proper a whole one: on a
            board a build takes minutes.
    """

    workspace_mib: int | None = None
    timeout_s: float | None = None

    def seconds(self, flavour: str) -> float:
        """The time limit of a build by "tensorrt" or "tensorrt-rtx"."""
        return self.timeout_s or (_RTX_SECONDS if flavour == RTX else _BOARD_SECONDS)
