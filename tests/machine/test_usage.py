from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.machine.usage import board_watts, resident_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_root import FakeRoot


def test_this_process_has_memory() -> None:
    assert 10e6 < resident_bytes() < 10e9


def test_where_proc_is_absent_nothing_is_known(tmp_path: Path) -> None:
    assert resident_bytes(tmp_path) == 0
    assert board_watts(tmp_path) is None


def test_the_board_s_power_is_that_of_its_whole_rail(fake_root: FakeRoot) -> None:
    fake_root.ina3221(("VDD_IN", 5080, 1500), ("VDD_CPU_GPU_CV", 5000, 900))
    assert board_watts(fake_root.root) == pytest.approx(7.62)


def test_a_board_without_a_whole_rail_uses_the_sum_of_its_rails(fake_root: FakeRoot) -> None:
    fake_root.ina3221(("VDD_GPU_SOC", 20_000, 300), ("VDD_CPU_CV", 20_000, 100), ("VIN_SYS_5V0", 5_000, 800))
    assert board_watts(fake_root.root) == pytest.approx(6 + 2 + 4)
