"""Memory for a build on a board, whose processor and GPU share it: a look before, and smaller steps when it runs out.

Of the sum, what the GPU takes (workspace and tactics) can't be swapped out; the rest can. Sources: NVIDIA, CUDA for
Tegra, "Estimating Total Allocatable Device Memory"; NvInfer.h on TACTIC_DRAM; the workspaces that help are those of
public reports of builds on 8 GB boards. Nothing of it was measured on a board.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from amfac_edge.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amfac_edge.machine.processor import MemoryNow

__all__ = ["check_memory", "memory_error", "ran_out_of_memory", "workspaces"]

_LADDER_MIB = (1024, 512, 256)
# CUDA's context, TensorRT's libraries and kernels, Python and the graph: an estimate.
_BESIDE_MIB = 1024
_MESSAGES = re.compile(
    r"out of memory|OutOfMemory|cudaErrorMemoryAllocation|NvMapMemAlloc.{0,40} error 12|bad_alloc|"
    # TensorRT-RTX 1.7 under a limit: it can't allocate, or can't start a thread.
    r"myelin_tensor\.h:\d+: CHECK\(p\) failed|Resource temporarily unavailable|"
    r"insufficient to use tactic|decreasing the workspace size|Tactic Device request",
    re.IGNORECASE,
)
# A tactic that wants more than it may have is skipped with such a line too; then it is more that helps, not less.
_WORKSPACE = re.compile(r"due to insufficient workspace", re.IGNORECASE)
_CURE = (
    "Free some: close the desktop (sudo init 3) and browsers; sudo systemctl disable nvzramconfig and a swap file of "
    "4 GB or more, then restart; --workspace 256."
)


def workspaces(first: int | None) -> tuple[int | None, ...]:
    """The workspaces in MiB to try one after the other, from `first` down; None for the library's own."""
    return (first, *(size for size in _LADDER_MIB if first is None or size < first))


def ran_out_of_memory(lines: Iterable[str]) -> bool:
    """Whether a log, or a child's last words, say that memory was the matter."""
    lines = list(lines)
    return any(map(_MESSAGES.search, lines)) and not any(map(_WORKSPACE.search, lines))


def memory_error(problem: str, *, limit_mib: int | None, on_board: bool) -> MachineError:
    """The error of a build that ran out of memory, with what to do.

    Args:
        problem: what was tried.
        limit_mib: what the build was allowed to allocate; None for no limit.
        on_board: processor and GPU share their memory.
    """
    held = f"; it was allowed to allocate {limit_mib:,} MiB" if limit_mib else ""
    elsewhere = "Close other programs, or give a smaller --workspace."
    if limit_mib:
        elsewhere = (
            "Look where the graph is from: a network of this package needs 1 GiB at most. Or: --memory-limit MIB"
        )
    return MachineError(problem + held, cure=_CURE if on_board else elsewhere)


def check_memory(memory: MemoryNow, *, workspace_mib: int | None, tactic_dram_mib: int | None) -> None:
    """Refuse a build that would run short on a board.

    Args:
        memory: of the machine, as it is now.
        workspace_mib: the builder's scratch memory.
        tactic_dram_mib: what its tactics may take.

    Raises:
        MachineError: there is too little; with what to do.
    """
    gpu = (workspace_mib or 0) + (tactic_dram_mib or 0)
    needed = gpu + _BESIDE_MIB
    free = memory.available_mib + memory.swap_free_mib
    # A machine that doesn't tell its memory is not refused for that.
    if not memory.total_mib or (free >= needed and memory.available_mib >= gpu):
        return
    raise MachineError(
        f"a build may take {needed:,} MiB here (workspace {workspace_mib or 0:,}, tactics {tactic_dram_mib or 0:,}, "
        f"about {_BESIDE_MIB:,} beside them), of which {gpu:,} can't be swapped; free are {memory.available_mib:,} MiB "
        f"and {memory.swap_free_mib:,} MiB of swap",
        cure=f"{_CURE} Or try all the same: --no-memory-check",
    )
