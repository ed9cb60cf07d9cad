"""The look at a board's memory before a build, and the steps down when it runs out."""

from __future__ import annotations

import pytest

from amfac_edge.compiler.memory import check_memory, memory_error, ran_out_of_memory, workspaces
from amfac_edge.errors import MachineError
from amfac_edge.machine.processor import MemoryNow


@pytest.mark.parametrize(
    ("first", "all_of_them"),
    [(2048, (2048, 1024, 512, 256)), (512, (512, 256)), (256, (256,)), (100, (100,)), (None, (None, 1024, 512, 256))],
)
def test_the_steps_down(first: int | None, all_of_them: tuple[int | None, ...]) -> None:
    assert workspaces(first) == all_of_them


# Workspace 512 and tactics 2048 for the GPU, 1024 beside them.
@pytest.mark.parametrize(
    ("memory", "enough"),
    [
        (MemoryNow(7619, 3584, 0), True),
        (MemoryNow(7619, 3583, 0), False),
        (MemoryNow(7619, 2560, 1024), True),
        (MemoryNow(7619, 2559, 8000), False),
        (MemoryNow(0, 0, 0), True),
    ],
)
def test_what_is_enough(memory: MemoryNow, *, enough: bool) -> None:
    if enough:
        check_memory(memory, workspace_mib=512, tactic_dram_mib=2048)
        return
    with pytest.raises(MachineError, match=rf"free are {memory.available_mib:,} MiB and {memory.swap_free_mib:,} MiB"):
        check_memory(memory, workspace_mib=512, tactic_dram_mib=2048)


@pytest.mark.parametrize(
    ("line", "memory"),
    [
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", True),
        ("Tactic Device request: 4229MB Available: 2658MB. Device memory is insufficient to use tactic.", True),
        ("Unexpected exception std::bad_alloc", True),
        ("Could not find any implementation for node {ForeignNode[a...b]}.", False),
        ("CUDA initialization failure with error: 35", False),
    ],
)
def test_what_speaks_of_memory(line: str, *, memory: bool) -> None:
    assert ran_out_of_memory(["something else", line]) == memory


def test_what_helps_depends_on_where() -> None:
    board = memory_error("m: no", limit_mib=None, on_board=True)
    assert board.problem == "m: no"
    assert "nvzramconfig" in board.cure
    limited = memory_error("m: no", limit_mib=6144, on_board=False)
    assert limited.problem == "m: no; it was allowed to allocate 6,144 MiB"
    assert "--memory-limit" in limited.cure
    assert "--workspace" in memory_error("m: no", limit_mib=None, on_board=False).cure


def test_a_workspace_that_is_too_small_is_no_want_of_memory() -> None:
    skipped = "Tactic Device request: 2457MB Available: 512MB. Device memory is insufficient to use tactic."
    failed = "Could not find any implementation for node Conv_1"
    assert ran_out_of_memory([skipped, f"{failed}."])
    assert not ran_out_of_memory(line for line in (skipped, f"{failed} due to insufficient workspace. See verbose log"))
