"""Readings of power and what they add up to, from files, from a program's lines, and from nowhere."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from amfac_edge.machine.state import MachineState, read_state
from amfac_edge.performance.observing import Observing
from amfac_edge.performance.steadiness import drift_percent, throttling
from amfac_edge.performance.watching import Reading, Watch, energy_of, watch_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_root import FakeRoot


def readings(start: float, end: float, watts: float, step: float = 0.1) -> list[Reading]:
    count = round((end - start) / step) + 1
    return [Reading(start + index * step, {"VDD_IN": watts * 1000, "VDD_SOC": 1.0}) for index in range(count)]


def test_energy_is_above_rest_and_by_the_trapezoidal_rule() -> None:
    work = readings(10, 14, 9.0)
    found = energy_of("INA3221", readings(0, 3, 4.0), work, (10.0, 14.0), frames=100)
    assert found is not None
    assert (found.source, found.rails) == ("INA3221", ("VDD_IN",))
    assert found.active_w == pytest.approx(9.0)
    assert found.idle_w == pytest.approx(4.0)
    # 5 W for 4 s over 100 frames.
    assert found.joules_per_frame == pytest.approx(0.2)


def test_readings_need_not_be_evenly_spaced() -> None:
    # From 2 W to 6 W in a straight line, read at odd moments, is 4 W; a plain mean of the readings would be 3.
    work = [Reading(at, {"VDD_IN": (2 + at) * 1000}) for at in (0.0, 0.1, 0.2, 0.3, 4.0)]
    found = energy_of("x", readings(-3, -1, 0.0), work, (-0.5, 4.5), frames=1)
    assert found is not None
    assert found.active_w == pytest.approx(4.0)


def test_the_ends_of_a_window_dont_count() -> None:
    work = [*readings(10, 10.4, 100.0), *readings(10.5, 13.5, 9.0), *readings(13.6, 14, 100.0)]
    found = energy_of("INA3221", readings(0, 3, 4.0), work, (10.0, 14.0), frames=100)
    assert found is not None
    assert found.active_w == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("idle", "work"),
    [
        ([], readings(10, 14, 9.0)),
        (readings(0, 3, 4.0), []),
        (readings(0, 3, 4.0), readings(10, 10.6, 9.0)),
        ([Reading(float(at)) for at in range(4)], [Reading(10.0 + at) for at in range(4)]),
    ],
    ids=["no rest", "no work", "too short", "no power"],
)
def test_energy_that_cant_be_told_is_not_made_up(idle: list[Reading], work: list[Reading]) -> None:
    assert energy_of("INA3221", idle, work, (10.0, 14.0), frames=100) is None


def test_a_board_is_read_by_its_monitors(fake_root: FakeRoot) -> None:
    fake_root.ina3221(("VDD_IN", 5000, 1000)).gpu_clock("17000000.gpu", 306_000_000, 306_000_000, 918_000_000)
    fake_root.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/curr1_crit_alarm", "1\n")
    watch = watch_of(fake_root.root, {"PATH": "/usr/bin"})
    assert watch.source == "INA3221"
    with watch:
        _until(lambda: len(watch.readings) >= 2)
    one = watch.readings[0]
    assert (one.rails_mw, one.gpu_mhz, one.gpu_cap_mhz) == ({"VDD_IN": 5000.0}, 306.0, 918.0)
    assert one.held_back == ("critical current of VDD_IN",)


def program(fake_root: FakeRoot, name: str, line: str) -> None:
    path = f"usr/bin/{name}"
    fake_root.write(path, f"#!/bin/sh\nwhile :; do echo '{line}'; sleep 0.05; done\n")
    (fake_root.root / path).chmod(0o755)


def test_thors_module_is_read_by_tegrastats(fake_root: FakeRoot) -> None:
    fake_root.ina3221(("VDD_GPU", 5000, 1))
    program(fake_root, "tegrastats", "RAM 1/2MB GR3D_FREQ @[1000,900,1000] VDD_GPU 5mW/5mW/5mW VIN 23000mW/1mW/1mW")
    watch = watch_of(fake_root.root, {"PATH": "/usr/bin"})
    assert watch.source == "tegrastats"
    with watch:
        _until(lambda: len(watch.readings) >= 2)
    assert watch.readings[0].rails_mw == {"VDD_GPU": 5.0, "VIN": 23000.0}
    assert watch.readings[0].gpu_mhz == 900.0


@pytest.mark.parametrize(
    ("line", "watts"), [("118.5, 1710, 2100, 7501, 61, 912, 0x4", 118.5), ("[N/A], 1, 2, 3, 4, 5, [N/A]", None)]
)
def test_a_card_is_asked_by_nvidia_smi(fake_root: FakeRoot, line: str, watts: float | None) -> None:
    program(fake_root, "nvidia-smi", line)
    watch = watch_of(fake_root.root, {"PATH": "/usr/bin"})
    with watch:
        _until(lambda: len(watch.readings) >= 1)
    assert watch.source == "nvidia-smi"
    assert watch.readings[0].rails_mw == ({} if watts is None else {"the card": watts * 1000})
    # A card's highest clock is no cap that it is held against.
    assert watch.readings[0].gpu_cap_mhz is None


def test_a_machine_that_tells_nothing_is_not_asked(fake_root: FakeRoot) -> None:
    watch = watch_of(fake_root.root, {"PATH": "/usr/bin"})
    assert not watch.knows_power
    with watch:
        pass
    assert watch.readings == []


def _until(done: object) -> None:
    assert callable(done)
    for _ in range(200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError


def _state(fake_root: FakeRoot, oc1: int, oc3: int) -> MachineState:
    fake_root.write("sys/class/hwmon/hwmon2/name", "soctherm_oc\n")
    for name, count in (("oc1", oc1), ("oc3", oc3)):
        fake_root.write(f"sys/class/hwmon/hwmon2/{name}_event_cnt", f"{count}\n")
    return read_state(fake_root.root, {})


def test_throttling_is_what_was_added_meanwhile(fake_root: FakeRoot) -> None:
    before = _state(fake_root, 5, 100)
    assert throttling(before, _state(fake_root, 5, 9999), []) == ()
    assert throttling(before, _state(fake_root, 7, 100), []) == ("2 under-voltage events (oc1)",)
    fake_root.write("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n")
    fake_root.write("sys/class/thermal/cooling_device0/cur_state", "2\n")
    assert throttling(before, _state(fake_root, 5, 100), []) == ("cooling by cpufreq-cpu0",)


@pytest.mark.parametrize(("below", "found"), [(1, ()), (2, ("GPU clock below its cap in 2% of the readings",))])
def test_a_clock_below_its_cap_for_more_than_one_reading_in_a_hundred(
    fake_root: FakeRoot, below: int, found: tuple[str, ...]
) -> None:
    state = read_state(fake_root.root, {})
    clocks = [Reading(0.0, gpu_mhz=612.0, gpu_cap_mhz=918.0)] * below
    clocks += [Reading(0.0, gpu_mhz=918.0, gpu_cap_mhz=918.0)] * (100 - below)
    assert throttling(state, state, clocks) == found
    # Clocks that can't be read prove nothing.
    assert throttling(state, state, [Reading(0.0)] * 100) == ()


def test_drift_is_of_the_last_third_against_the_first() -> None:
    assert drift_percent([10.0] * 10 + [11.0] * 10 + [12.0] * 10) == pytest.approx(20.0)
    assert drift_percent([10.0] * 29) is None


def test_a_run_is_seen_with_its_energy(fake_root: FakeRoot, tmp_path: Path) -> None:
    del tmp_path
    working = threading.Event()

    def poll() -> Reading:
        return Reading(time.perf_counter(), {"VDD_IN": 9000.0 if working.is_set() else 4000.0})

    state = read_state(fake_root.root, {})
    observing = Observing(Watch("INA3221", poll=poll), lambda: state, idle_s=1.0)

    def work() -> dict[str, list[float]]:
        working.set()
        time.sleep(2.0)
        return {"frame": [400.0] * 4}

    with observing:
        assert observing.timed("frame", work) == {"frame": [400.0] * 4}
    seen = observing.result()
    assert (seen.before, seen.after, seen.power_source) == (state, state, "INA3221")
    assert seen.energy["frame"].active_w == pytest.approx(9.0)
    assert seen.energy["frame"].idle_w == pytest.approx(4.0)
