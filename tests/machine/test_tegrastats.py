"""Lines of tegrastats as each major release of Jetson Linux prints them."""

from __future__ import annotations

import pytest

from amfac_edge.machine.rails import module_power
from amfac_edge.machine.tegrastats import parse_tegrastats

# Made after the forms of each release; the numbers are made up.
JETPACK5 = (
    "RAM 620/7619MB (lfb 1100x4MB) SWAP 0/3809MB (cached 0MB) CPU [23%@2201,0%@1510,off,off] EMC_FREQ 2%@1866 "
    "GR3D_FREQ 37%@612 VIC_FREQ off APE 174 CV0@-256C CPU@39.5C SOC2@38.4C GPU@42.25C tj@43C "
    "VDD_IN 5520mW/5400mW VDD_CPU_GPU_CV 900mW/850mW VDD_SOC 1440mW/1432mW"
)
JETPACK6 = (
    "11-28-2026 12:00:00 RAM 2801/7620MB (lfb 2x4MB) SWAP 12/3810MB (cached 0MB) CPU [5%@1510,7%@1510,off] EMC_FREQ 0% "
    "GR3D_FREQ 0% cpu@47.3C gpu@46C tj@47.3C VDD_IN 4720mW/4720mW VDD_CPU_GPU_CV 680mW/680mW VDD_SOC 1360mW/1360mW"
)
JETPACK7 = (
    "07-25-2026 09:08:28 RAM 6034/62840MB (lfb 3x4MB) SWAP 0/31420MB (cached 0MB) CPU [1%@2201,0%@2201] "
    "EMC_FREQ 1%@3199 GR3D_FREQ 12%@[1300,1300] cpu@52.968C/52.968C tj@53.1C/53.0C "
    "VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 1186mW/1190mW/1200mW VIN_SYS_5V0 4040mW/4040mW/4040mW"
)
THOR = (
    "09-01-2026 10:00:00 RAM 9000/125771MB (lfb 5x4MB) SWAP 0/0MB (cached 0MB) CPU [0%@972,0%@972] "
    "GR3D_FREQ @[1000,1000,1000] cpu@41.2C gpu@40C tj@41.2C VDD_GPU -392mW/0mW/0mW "
    "VDD_CPU_SOC_MSS 6510mW/6500mW/6500mW VIN_SYS_5V0 6520mW/6500mW/6500mW VIN 23000mW/22900mW/22900mW"
)


def test_the_present_value_is_the_first_one() -> None:
    stats = parse_tegrastats(JETPACK5)
    assert stats is not None
    assert (stats.ram_used_mb, stats.ram_total_mb, stats.swap_used_mb) == (620, 7619, 0)
    assert stats.cores == ((23, 2201), (0, 1510), None, None)
    assert (stats.emc_mhz, stats.gpu_percent, stats.gpu_mhz) == (1866, 37, (612,))
    assert stats.temperatures_c == {"CV0": -256.0, "CPU": 39.5, "SOC2": 38.4, "GPU": 42.25, "tj": 43.0}
    assert stats.rails_mw == {"VDD_IN": 5520.0, "VDD_CPU_GPU_CV": 900.0, "VDD_SOC": 1440.0}
    assert module_power(stats.rails_mw) == (("VDD_IN",), 5520.0)


def test_without_rights_the_clocks_are_unknown() -> None:
    stats = parse_tegrastats(JETPACK6)
    assert stats is not None
    assert (stats.emc_mhz, stats.gpu_percent, stats.gpu_mhz) == (None, 0, ())
    assert module_power(stats.rails_mw) == (("VDD_IN",), 4720.0)


def test_jetpack_7_has_three_values_and_two_clocks() -> None:
    stats = parse_tegrastats(JETPACK7)
    assert stats is not None
    assert (stats.gpu_percent, stats.gpu_mhz) == (12, (1300, 1300))
    assert stats.temperatures_c == {"cpu": 52.968, "tj": 53.1}
    # An AGX Orin has no rail of the whole module.
    assert module_power(stats.rails_mw) == (("VDD_CPU_CV", "VDD_GPU_SOC", "VIN_SYS_5V0"), 5139 + 1186 + 4040)


def test_thor_tells_no_load_and_its_input_is_vin() -> None:
    stats = parse_tegrastats(THOR)
    assert stats is not None
    assert (stats.gpu_percent, stats.gpu_mhz) == (None, (1000, 1000, 1000))
    assert stats.rails_mw["VDD_GPU"] == -392.0
    assert module_power(stats.rails_mw) == (("VIN",), 23000.0)


@pytest.mark.parametrize("line", ["", "tegrastats: not found", "RAM x/yMB", "\0\xff" * 50, "VDD_IN 5mW/5mW"])
def test_another_line_is_none(line: str) -> None:
    assert parse_tegrastats(line) is None


def test_a_line_that_breaks_off_has_what_it_has() -> None:
    stats = parse_tegrastats(JETPACK5[:75])
    assert stats is not None
    assert (stats.ram_used_mb, stats.cores, stats.rails_mw) == (620, (), {})
    assert module_power({}) is None
