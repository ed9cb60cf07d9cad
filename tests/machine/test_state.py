"""Boards of every declared kind as a tree of files: power, clocks, temperatures, what slowed them down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.target import load_target, target_names
from amfac_edge.machine.card_state import card_state_of
from amfac_edge.machine.jetson import GpuClock
from amfac_edge.machine.rails import current_alarms, module_power, read_rails
from amfac_edge.machine.state import read_state
from amfac_edge.machine.throttling import read_slow_downs

if TYPE_CHECKING:
    from tests.fake_root import FakeRoot

BOARDS = [name for name in target_names() if load_target(name).kind == "jetson"]
RELEASES = {
    "35.4.1": "17000000.ga10b",
    "36.4.7": "17000000.gpu",
    "39.2.1": "gpu-gpc-0",
}
RAILS = {
    "orin-nano-8": ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "orin-nx-8": ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "orin-nx-16": ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "agx-orin-32": ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    "agx-orin-64": ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    "thor": ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("release", RELEASES)
def test_the_state_of_every_board_and_release(fake_root: FakeRoot, board: str, release: str) -> None:
    target = load_target(board)
    fake_root.device_tree(f"nvidia,{target.board_ids[0]}").l4t(release)
    fake_root.nvpmodel([(0, "MAXN"), (2, "15W")], 2)
    fake_root.gpu_clock(RELEASES[release], 408_000_000, 306_000_000, 612_000_000)
    fake_root.ina3221(*((name, 5000, 1000 * number) for number, name in enumerate(RAILS[board], start=1)))
    fake_root.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    fake_root.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1510400\n")
    fake_root.write("sys/class/thermal/thermal_zone0/type", "tj-thermal\n")
    fake_root.write("sys/class/thermal/thermal_zone0/temp", "47300\n")
    fake_root.write("sys/class/thermal/thermal_zone1/type", "cv0-thermal\n")
    fake_root.write("sys/class/thermal/thermal_zone1/temp", "-256000\n")
    fake_root.write("proc/meminfo", "MemTotal: 7802880 kB\nMemAvailable: 5000000 kB\nSwapFree: 3900000 kB\n")
    state = read_state(fake_root.root, {"PATH": "/usr/bin"})
    assert (state.power_mode, state.governor, state.cpu_mhz) == ("15W", "schedutil", (1510.4,))
    assert state.gpu_clock == GpuClock(408, 306, 612)
    assert state.pinned is False
    assert state.temperatures_c == {"tj-thermal": 47.3}
    assert state.memory.total_mib == 7620
    assert state.card is None
    # Volts times amperes: 5 V at 1, 2 and 3 A.
    assert state.rails_mw == dict(zip(RAILS[board], (5000.0, 10000.0, 15000.0), strict=True))
    power = module_power(state.rails_mw)
    assert power is not None
    assert power[1] == (5000.0 if "VDD_IN" in RAILS[board] else 30000.0)


def test_what_cant_be_read_is_unknown(fake_root: FakeRoot) -> None:
    state = read_state(fake_root.root, {})
    assert (state.power_mode, state.governor, state.cpu_mhz, state.gpu_clock, state.pinned) == (
        None,
        None,
        (),
        None,
        None,
    )
    assert (state.temperatures_c, state.rails_mw, state.card) == ({}, {}, None)
    fake_root.ina3221(("VDD_IN", 5000, 1000))
    fake_root.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/curr1_input", "nonsense\n")
    assert read_rails(fake_root.root) == {}


def test_unused_channels_and_the_sum_of_shunts_are_no_rails(fake_root: FakeRoot) -> None:
    fake_root.ina3221(("VDD_IN", 5000, 1000), ("NC", 5000, 1))
    fake_root.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in7_label", "sum of shunt voltages\n")
    assert list(read_rails(fake_root.root)) == ["VDD_IN"]


def test_what_slows_a_board_down_is_counted(fake_root: FakeRoot) -> None:
    fake_root.write("sys/class/hwmon/hwmon2/name", "soctherm_oc\n")
    for number, count in enumerate((0, 2, 27390), start=1):
        fake_root.write(f"sys/class/hwmon/hwmon2/oc{number}_event_cnt", f"{count}\n")
    fake_root.write("sys/class/hwmon/hwmon4/name", "pwmfan\n")
    fake_root.write("sys/class/thermal/cooling_device0/type", "gpu-throttle-alert\n")
    fake_root.write("sys/class/thermal/cooling_device0/cur_state", "1\n")
    fake_root.write("sys/class/thermal/cooling_device1/type", "pwm-fan\n")
    fake_root.write("sys/class/thermal/cooling_device1/cur_state", "3\n")
    fake_root.write("sys/fs/cgroup/cpu.stat", "usage_usec 5\nnr_periods 7\nnr_throttled 4\nthrottled_usec 9\n")
    for core, count in enumerate((3, 0)):
        fake_root.write(f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count", f"{count}\n")
    fake_root.ina3221(("VDD_IN", 5000, 4990))
    fake_root.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/curr1_crit_alarm", "1\n")
    found = read_slow_downs(fake_root.root)
    assert found.events == {"oc1": 0, "oc2": 2, "oc3": 27390, "thermal": 3, "quota": 4}
    assert found.cooling == ("gpu-throttle-alert",)
    assert found.alarms == ("VDD_IN",)
    assert current_alarms(fake_root.root) == ["VDD_IN"]


def test_a_card_that_answers(fake_root: FakeRoot) -> None:
    fake_root.nvidia_smi("118.50, 1710, 2100, 7501, 61, 912, 0x0000000000000024")
    state = read_state(fake_root.root, {"PATH": "/usr/bin:/bin"}).card
    assert state is not None
    assert (state.power_w, state.sm_mhz, state.sm_max_mhz, state.memory_mhz) == (118.5, 1710.0, 2100.0, 7501.0)
    assert (state.temperature_c, state.memory_used_mib) == (61.0, 912.0)
    assert state.held_back == ("power cap", "thermal slowdown by the driver")


def test_nvml_that_answers_not_supported_is_unknown(fake_root: FakeRoot) -> None:
    # As on an Orin.
    fake_root.nvidia_smi("[N/A], [Not Supported], [N/A], [N/A], [Not Supported], [N/A], [N/A]")
    state = read_state(fake_root.root, {"PATH": "/usr/bin:/bin"}).card
    assert state is not None
    assert (state.power_w, state.sm_mhz, state.temperature_c, state.held_back) == (None, None, None, None)


@pytest.mark.parametrize("line", ["", "No devices were found", "1, 2", "a,b,c,d,e,f,g,h"])
def test_what_is_no_answer(line: str) -> None:
    assert card_state_of(line) is None


def test_an_idle_card_is_held_back_by_nothing() -> None:
    state = card_state_of("15.1, 210, 2100, 405, 40, 1, 0x0000000000000001")
    assert state is not None
    assert state.held_back == ()
