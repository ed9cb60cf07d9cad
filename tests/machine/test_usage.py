from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.machine.usage import board_watts, resident_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_this_process_has_memory() -> None:
    assert 10e6 < resident_bytes() < 10e9


def test_where_proc_is_absent_nothing_is_known(tmp_path: Path) -> None:
    assert resident_bytes(tmp_path) == 0
    assert board_watts(tmp_path) is None


def test_the_board_s_power_is_that_of_its_whole_rail(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/hwmon/hwmon3"
    folder.mkdir(parents=True)
    rails = ("VDD_CPU_GPU_CV", 5000, 900), ("VDD_IN", 5080, 1500)
    for channel, (label, millivolts, milliamperes) in enumerate(rails, start=1):
        (folder / f"in{channel}_label").write_text(label + "\n")
        (folder / f"in{channel}_input").write_text(f"{millivolts}\n")
        (folder / f"curr{channel}_input").write_text(f"{milliamperes}\n")
    assert board_watts(tmp_path) == pytest.approx(7.62)
