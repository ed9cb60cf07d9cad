"""How many threads are worth starting here: the cores that this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """The physical cores that this process may run on, at least 1.

    Two hardware threads of one core count once, since they share its arithmetic units. A container's CPU quota counts
    too: threads beyond it make every call wait for its next period.

    Args:
        root: where `/sys` lies; another folder in tests.
    """
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(root, cpu) for cpu in usable}
    quota = _quota(root)
    return max(1, len(cores) if quota is None else min(len(cores), math.ceil(quota)))


def _siblings(root: Path, cpu: int) -> str:
    path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return (_text(path) or str(cpu)).strip()


def _quota(root: Path) -> float | None:
    """CPU time for each unit of time that the control group allows (version 2, then version 1), None for no limit."""
    group = root / "sys/fs/cgroup"
    quota, _, period = (_text(group / "cpu.max") or "").partition(" ")
    if not quota:
        quota, period = _text(group / "cpu/cpu.cfs_quota_us") or "", _text(group / "cpu/cpu.cfs_period_us") or ""
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
