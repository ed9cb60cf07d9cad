"""What a real Jetson tells: everything that the manifests and receipts of this package say of one.

`python -m pytest -m jetson -rs` on the board; skipped elsewhere. Nobody has seen it run: a failure here is a report
that the package needs, with the path or the line that it names.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.target import load_target
from amfac_edge.machine.rails import module_power, read_rails
from amfac_edge.machine.state import read_state
from amfac_edge.machine.tegrastats import parse_tegrastats
from amfac_edge.machine.this_machine import read_machine

if TYPE_CHECKING:
    from amfac_edge.machine.jetson import Jetson
    from tests.fake_root import FakeRoot

LINE = (
    "RAM 2448/7620MB (lfb 2x4MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,0%@729,0%@729,0%@729,off,off] EMC_FREQ 0%@2133 "
    "GR3D_FREQ 0%@[305] cpu@46.3C soc2@45.1C VDD_IN 3780mW/3780mW VDD_CPU_GPU_CV 520mW/520mW VDD_SOC 1180mW/1180mW"
)


@pytest.fixture(params=[pytest.param("board", marks=pytest.mark.jetson), "made"])
def root(request: pytest.FixtureRequest, fake_root: FakeRoot) -> Path:
    """The file system of the board that runs this, and of one that was made: that these tests can pass is seen here."""
    if request.param == "board":
        return Path("/")
    fake_root.device_tree("nvidia,p3768-0000+p3767-0003").l4t("36.4.7").nvpmodel([(0, "15W"), (1, "7W")], 0)
    fake_root.gpu_clock("17000000.gpu", 306_000_000, 306_000_000, 624_750_000)
    fake_root.ina3221(("VDD_IN", 5000, 1000), ("VDD_CPU_GPU_CV", 5000, 300), ("VDD_SOC", 5000, 200))
    fake_root.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    fake_root.write("sys/class/thermal/thermal_zone0/temp", "46312\n")
    program = fake_root.root / "usr" / "bin" / "tegrastats"
    fake_root.write("usr/bin/tegrastats", f"#!/bin/sh\necho '{LINE}'\n")
    program.chmod(0o755)
    return fake_root.root


@pytest.fixture
def jetson(root: Path) -> Jetson:
    found = read_machine(root, {}).jetson
    if found is None:
        pytest.skip("no Jetson: neither the device tree nor /etc/nv_tegra_release names one")
    return found


def test_the_board_and_its_software_are_known(jetson: Jetson) -> None:
    assert jetson.board_id, "no module (p3767-0003) in /proc/device-tree/compatible"
    assert jetson.target, f"{jetson.title} ({jetson.board_id}) is no declared target"
    assert jetson.l4t, "no release in /etc/nv_tegra_release"
    assert jetson.stack, f"L4T {jetson.l4t} is of no JetPack that {jetson.target} declares"


def test_its_power_mode_is_one_of_the_targets(jetson: Jetson) -> None:
    assert jetson.target
    assert jetson.power_mode, "no mode from /etc/nvpmodel.conf and /var/lib/nvpmodel/status"
    mode = load_target(jetson.target).mode_on_board(jetson.power_mode, super_configuration=jetson.super_configuration)
    assert mode is not None, f"{jetson.target} declares no mode {jetson.power_mode}"


def test_its_gpu_has_a_clock(jetson: Jetson) -> None:
    clock = jetson.gpu_clock
    assert clock is not None, "no GPU in /sys/class/devfreq"
    assert 0 < clock.now_mhz <= clock.max_mhz < 5000


@pytest.mark.usefixtures("jetson")
def test_it_tells_its_power(root: Path) -> None:
    rails = read_rails(root)
    power = module_power(rails)
    assert power is not None, f"no sum of the module in {rails}"
    assert 1000 < power[1] < 150_000


@pytest.mark.usefixtures("jetson")
def test_its_state_has_temperatures(root: Path) -> None:
    state = read_state(root, {})
    assert any(0 < celsius < 120 for celsius in state.temperatures_c.values()), state


@pytest.mark.usefixtures("jetson")
def test_a_line_of_tegrastats_is_understood(root: Path) -> None:
    program = shutil.which("tegrastats", path=str(root / "usr" / "bin"))
    if program is None:
        pytest.skip("no /usr/bin/tegrastats")
    with subprocess.Popen([program, "--interval", "200"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    stats = parse_tegrastats(line)
    assert stats is not None, line
    assert stats.ram_total_mb, line
    assert stats.cores, line
    assert stats.temperatures_c, line
    assert stats.rails_mw, line
