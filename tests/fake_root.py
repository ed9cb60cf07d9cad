"""A machine that was never there: a file tree under a temporary root."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FakeRoot:
    """A file system to read a machine from."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes) -> FakeRoot:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def device_tree(self, *compatible: str, model: str = "NVIDIA Jetson") -> FakeRoot:
        names = "\0".join((*compatible, "nvidia,tegra234")) + "\0"
        return self.write("proc/device-tree/compatible", names).write("proc/device-tree/model", model + "\0")

    def l4t(self, release: str) -> FakeRoot:
        major, _, revision = release.partition(".")
        line = f"# R{major} (release), REVISION: {revision}, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: x\n"
        return self.write("etc/nv_tegra_release", line + "# KERNEL_VARIANT: oot\n")

    def nvpmodel(self, modes: list[tuple[int, str]], current: int) -> FakeRoot:
        conf = "".join(f"< POWER_MODEL ID={number} NAME={name} >\nCPU_ONLINE CORE_0 1\n" for number, name in modes)
        self.write("etc/nvpmodel.conf", f"# comment\n{conf}< PM_CONFIG DEFAULT=0 >\n")
        return self.write("var/lib/nvpmodel/status", f"pmode:{current:04} fmode:quiet\n")

    def gpu_clock(self, folder: str, *hertz: int) -> FakeRoot:
        for which, value in zip(("cur", "min", "max"), hertz, strict=True):
            self.write(f"sys/class/devfreq/{folder}/{which}_freq", f"{value}\n")
        return self

    def nvidia_smi(self, output: str, code: int = 0) -> FakeRoot:
        self.write("usr/bin/nvidia-smi", f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
        (self.root / "usr/bin/nvidia-smi").chmod(0o755)
        return self

    def ina3221(self, *channels: tuple[str, int, int]) -> FakeRoot:
        """Power monitors: name, millivolts and milliamperes of each rail."""
        chip = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
        for number, (name, millivolts, milliamperes) in enumerate(channels, start=1):
            self.write(f"{chip}/in{number}_label", f"{name}\n").write(f"{chip}/in{number}_input", f"{millivolts}\n")
            self.write(f"{chip}/curr{number}_input", f"{milliamperes}\n")
        return self
