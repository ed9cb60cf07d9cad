"""What others take of the cores that count."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from amfac_edge.machine.load import cpu_seconds_of_others, slept_seconds, waited_seconds

if TYPE_CHECKING:
    from tests.fake_root import FakeRoot

TICKS = os.sysconf("SC_CLK_TCK")


def test_only_cores_that_this_process_may_use_count(fake_root: FakeRoot) -> None:
    # A container's /proc/stat is the host's: here core 0 is ours, and core 1 is another container's.
    fake_root.write("proc/stat", "cpu 900000 0 0 0 0 0 0 0\ncpu0 100000 0 0 5 5 0 0 0\ncpu1 800000 0 0 0 0 0 0 0\n")
    ours, all_of_them = (cpu_seconds_of_others(fake_root.root, cores) for cores in ([0], [0, 1]))
    assert ours is not None
    assert all_of_them is not None
    assert all_of_them - ours == pytest.approx(800000 / TICKS, abs=1)
    # One that the file doesn't list: all that there is.
    assert cpu_seconds_of_others(fake_root.root, [0, 64]) == pytest.approx(all_of_them, abs=1)


def test_a_file_of_one_line_is_read_too(fake_root: FakeRoot) -> None:
    fake_root.write("proc/stat", "cpu  10000000 0 20000000 999 7 0 0 0 50 50\ncpu0 1 2 3 4\n")
    busy = cpu_seconds_of_others(fake_root.root, [0, 64])
    # What this process and its children have used until now, pytest's workers some minutes.
    assert busy == pytest.approx(30000000 / TICKS - sum(os.times()[:4]), abs=1)


def test_a_child_that_ended_is_none_of_the_others(fake_root: FakeRoot) -> None:
    fake_root.write("proc/stat", "cpu0 100000 0 0 5 5 0 0 0\n")
    before = cpu_seconds_of_others(fake_root.root, [0])
    work = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    after = cpu_seconds_of_others(fake_root.root, [0])
    assert before is not None
    assert after is not None
    assert before - after >= 0.5


@pytest.mark.parametrize(
    "text", ["", "nonsense line of words", "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n", "cpu one two\n"]
)
def test_a_file_that_tells_nothing_is_unknown(fake_root: FakeRoot, text: str) -> None:
    fake_root.write("proc/stat", text)
    assert cpu_seconds_of_others(fake_root.root, [0]) is None


def test_waiting_for_a_core_is_added_up_over_threads(fake_root: FakeRoot) -> None:
    assert waited_seconds(fake_root.root) is None
    fake_root.write("proc/self/task/7/schedstat", "9 1500000000 3\n").write(
        "proc/self/task/8/schedstat", "1 500000000 2\n"
    )
    assert waited_seconds(fake_root.root) == 2.0
    fake_root.write("proc/self/task/8/schedstat", "\n")
    assert waited_seconds(fake_root.root) is None


def test_a_machine_that_is_awake_does_not_sleep_meanwhile() -> None:
    before = slept_seconds()
    assert abs(slept_seconds() - before) < 0.001
