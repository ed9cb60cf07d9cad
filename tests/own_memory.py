"""The memory of this very process, for tests of what runs for days."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["grown_in_every_part", "own_bytes"]


def own_bytes() -> int:
    """Bytes of the process's own memory, wherever it lies: pages of files come and go as the system wants."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(status[name].split()[0]) << 10 for name in ("RssAnon", "VmSwap"))


def grown_in_every_part(sizes: Sequence[int]) -> int:
    """Bytes that a run grew by, of its size at the start and after each of its equal parts.

    What is kept grows in every part. The system gives some megabytes at once, in a process that had other work before
    (huge pages, arenas of other threads), and may take some back: the part that grew second least counts for all.
    """
    steps = sorted(after - before for before, after in pairwise(sizes))
    return len(steps) * steps[1]
