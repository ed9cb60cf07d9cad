from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from amfac_edge.sessions import usable_cores

if TYPE_CHECKING:
    from pathlib import Path


def _machine(root: Path, siblings: dict[int, str], **control_group: str) -> Path:
    for cpu, text in siblings.items():
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    for name, text in control_group.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.usefixtures("four_cpus")
@pytest.mark.parametrize(
    ("siblings", "control_group", "cores"),
    [
        ({}, {}, 4),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, {}, 4),
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {}, 2),
        ({}, {"cpu_dot_max": "max 100000"}, 4),
        ({}, {"cpu_dot_max": "150000 100000"}, 2),
        ({}, {"cpu_dot_max": "10000 100000"}, 1),
        ({}, {"cpu_dot_max": "garbage"}, 4),
        ({}, {"cpu__cpu_dot_cfs_quota_us": "300000", "cpu__cpu_dot_cfs_period_us": "100000"}, 3),
        ({}, {"cpu__cpu_dot_cfs_quota_us": "-1", "cpu__cpu_dot_cfs_period_us": "100000"}, 4),
    ],
)
def test_cores_are_counted_once_and_within_the_quota(
    tmp_path: Path, siblings: dict[int, str], control_group: dict[str, str], cores: int
) -> None:
    assert usable_cores(_machine(tmp_path, siblings, **control_group)) == cores


def test_this_machine_has_a_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
