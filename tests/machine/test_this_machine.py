"""A machine is read from its file system, and `auto` becomes the target that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import DeclaredError, MachineError
from amfac_edge.machine.cards import Card, read_cards
from amfac_edge.machine.processor import MemoryNow, read_memory_now, read_processor
from amfac_edge.machine.this_machine import read_machine, target_of_this_machine, targets_for

if TYPE_CHECKING:
    from tests.fake_root import FakeRoot

PATH = {"PATH": "/usr/local/bin:/usr/bin"}
X86 = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu avx2 avx512f avx512_vnni

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu avx2 avx512f avx512_vnni
"""
ORIN = """processor\t: 0
model name\t: ARMv8 Processor rev 1 (v8l)
Features\t: fp asimd asimdhp asimddp
CPU part\t: 0xd42

processor\t: 4
Features\t: fp asimd asimdhp asimddp
CPU part\t: 0xd42
"""
MEMINFO = "MemTotal:        7990180 kB\nMemFree: 1 kB\nMemAvailable:    5242880 kB\nSwapFree:        4005000 kB\n"


def test_the_processor(fake_root: FakeRoot) -> None:
    fake_root.write("proc/cpuinfo", X86)
    fake_root.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    processor = read_processor(fake_root.root)
    assert (processor.name, processor.threads, processor.governor) == ("AMD EPYC", 2, "schedutil")
    assert processor.features == ("avx2", "avx512f", "avx512_vnni")
    processor = read_processor(fake_root.write("proc/cpuinfo", ORIN).root)
    assert (processor.name, processor.threads) == ("ARM Cortex-A78AE", 2)
    assert processor.features == ("asimd", "asimdhp", "asimddp")


def test_memory_in_mib(fake_root: FakeRoot) -> None:
    assert read_memory_now(fake_root.write("proc/meminfo", MEMINFO).root) == MemoryNow(7802, 5120, 3911)


def test_an_empty_file_system_is_no_crash(fake_root: FakeRoot) -> None:
    machine = read_machine(fake_root.root, PATH)
    assert (machine.processor.threads, machine.memory.total_mib, machine.jetson) == (1, 0, None)
    assert target_of_this_machine(fake_root.root, PATH) == "cpu"


def test_cards_by_nvidia_smi(fake_root: FakeRoot) -> None:
    line = "NVIDIA GeForce RTX 3060, 8.6, 12288, 560.35.03"
    fake_root.nvidia_smi(f"{line}\nNVIDIA Something, 7.5, [N/A], 560.35.03")
    cards = read_cards(fake_root.root, PATH)
    assert cards.cards == (Card("NVIDIA GeForce RTX 3060", "8.6", 12288), Card("NVIDIA Something", "7.5", None))
    assert cards.driver == "560.35.03"


@pytest.mark.parametrize(
    "version",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)",
    ],
)
def test_a_driver_whose_nvidia_smi_fails(fake_root: FakeRoot, version: str) -> None:
    fake_root.write("proc/driver/nvidia/version", version)
    fake_root.nvidia_smi("Failed to initialize NVML: Driver/library version mismatch", code=18)
    cards = read_cards(fake_root.root, PATH)
    assert (cards.cards, cards.driver) == ((), "550.54.15")


@pytest.mark.parametrize("program", ["no program at all", "#!/bin/sh\nexec sleep 60\n"])
def test_an_nvidia_smi_that_hangs_or_is_no_program(
    fake_root: FakeRoot, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr("amfac_edge.machine.cards._TIMEOUT_S", 0.3)
    fake_root.nvidia_smi("").write("usr/bin/nvidia-smi", program)
    assert read_cards(fake_root.root, PATH).cards == ()


def test_a_card_without_a_driver_is_seen_on_the_bus(fake_root: FakeRoot) -> None:
    for slot, vendor, kind in (
        ("01", "0x10de", "0x030000"),
        ("02", "0x10de", "0x040300"),
        ("03", "0x1002", "0x030000"),
    ):
        fake_root.write(f"sys/bus/pci/devices/0000:{slot}:00.0/vendor", f"{vendor}\n")
        fake_root.write(f"sys/bus/pci/devices/0000:{slot}:00.0/class", f"{kind}\n")
    cards = read_cards(fake_root.root, PATH)
    assert (cards.cards, cards.driver, cards.on_bus) == ((), None, 1)
    assert target_of_this_machine(fake_root.root, PATH) == "cpu"


@pytest.mark.parametrize(
    ("card", "target"),
    [
        ("NVIDIA GeForce RTX 3060, 8.6", "rtx-3060"),
        ("NVIDIA A10, 8.6", "rtx-3060"),
        ("NVIDIA L4, 8.9", "rtx-4090"),
        ("NVIDIA H200, 9.0", None),
    ],
)
def test_a_card_is_matched_by_its_compute_capability(fake_root: FakeRoot, card: str, target: str | None) -> None:
    fake_root.nvidia_smi(f"{card}, 24564, 560.35.03")
    assert target_of_this_machine(fake_root.root, PATH) == target


def test_a_jetson_is_its_board_even_with_an_nvidia_smi(fake_root: FakeRoot) -> None:
    fake_root.device_tree("nvidia,p3767-0003").l4t("36.4.7").nvidia_smi("Orin (nvgpu), 8.7, [N/A], 540.4.0")
    machine = read_machine(fake_root.root, PATH)
    assert machine.cards.cards == ()
    assert target_of_this_machine(fake_root.root, PATH) == "orin-nano-8"


def test_auto_in_a_list_of_targets(fake_root: FakeRoot) -> None:
    names = [target.name for target in targets_for("orin-nano, auto,cpu", fake_root.root, PATH)]
    assert names == ["orin-nano-8", "cpu"]
    fake_root.nvidia_smi("NVIDIA H200, 9.0, 143771, 570.1.2")
    with pytest.raises(MachineError, match=r"no declared target for NVIDIA H200 \(compute capability 9.0\)") as raised:
        targets_for("auto", fake_root.root, PATH)
    assert "TOML" in raised.value.cure
    assert raised.value.exit_code == 3
    assert [target.name for target in targets_for("rtx-4090", fake_root.root, PATH)] == ["rtx-4090"]
    with pytest.raises(DeclaredError, match="unknown target"):
        targets_for("rtx-409", fake_root.root, PATH)


def test_auto_on_a_board_that_is_not_declared(fake_root: FakeRoot) -> None:
    fake_root.device_tree("nvidia,p3767-0004", model="NVIDIA Jetson Orin Nano 4GB")
    with pytest.raises(MachineError, match="NVIDIA Jetson Orin Nano 4GB is none of the declared boards") as raised:
        targets_for("auto", fake_root.root, PATH)
    assert "AMFAC_BOARD=" in raised.value.cure
