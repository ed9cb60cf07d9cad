"""Recorded machines of every target, and what becomes of several plans on each of them."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import Host, HostGpu, Outcome, examine
from amfac_edge.machine.packages import Packages
from amfac_edge.machine.this_machine import read_machine
from amfac_edge.sessions.host import host_of, this_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from tests.fake_root import FakeRoot

    Site = Callable[..., list[str]]

SUPER = [(0, "15W"), (1, "25W"), (2, "MAXN_SUPER"), (3, "7W")]
PLAIN = [(0, "MAXN"), (1, "10W"), (2, "15W"), (3, "25W")]
BOARDS = {
    "orin-nano-8": ("p3767-0003", "-super", "36.4.7", SUPER, 2, "17000000.gpu"),
    "orin-nx-8": ("p3767-0001", "", "36.4.3", PLAIN, 0, "17000000.gpu"),
    "orin-nx-16": ("p3767-0000", "", "39.2.1", PLAIN, 1, "gpu-gpc-0"),
}
CARDS = {
    "rtx-3060": (
        "NVIDIA GeForce RTX 3060, 8.6, 12288, 560.35.03",
        {"tensorrt": "10.3.0", "tensorrt__rtx": "1.7.1.116"},
    ),
    "rtx-4090": ("NVIDIA GeForce RTX 4090, 8.9, 24564, 550.90.07", {"tensorrt": "10.16.1.11"}),
}


def recorded_host(target: str, root: FakeRoot, site: Site) -> Host:
    """The machine of a target, from the files that such a machine has."""
    if target in BOARDS:
        board, suffix, release, modes, mode, clock = BOARDS[target]
        root.device_tree(f"nvidia,p3768-0000+{board}{suffix}", f"nvidia,{board}{suffix}").l4t(release)
        root.nvpmodel(modes, mode).gpu_clock(clock, 306_000_000, 306_000_000, 918_000_000)
        return host_of(read_machine(root.root, {}), Packages(site("tensorrt")))
    row, versions = CARDS[target]
    machine = read_machine(root.nvidia_smi(row).root, {"PATH": "/usr/bin"})
    return host_of(machine, Packages(site(**versions)))


@pytest.fixture(autouse=True)
def _x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (
            "orin-nano-8",
            Host(
                "linux",
                "aarch64",
                "orin-nano-8",
                (HostGpu("8.7", None, 8),),
                {"tensorrt": "10.3.0"},
                "36.4.7",
                power_mode="MAXN_SUPER",
            ),
        ),
        (
            "orin-nx-16",  # 10W leaves four of the eight SMs
            Host(
                "linux",
                "aarch64",
                "orin-nx-16",
                (HostGpu("8.7", None, 4),),
                {"tensorrt": "10.16.2"},
                "39.2.1",
                power_mode="10W",
            ),
        ),
        (
            "rtx-3060",
            Host(
                "linux",
                "x86_64",
                "rtx-3060",
                (HostGpu("8.6", "NVIDIA GeForce RTX 3060"),),
                {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.1.116"},
                driver="560.35.03",
            ),
        ),
    ],
)
def test_a_machine_as_the_preflight_sees_it(fake_root: FakeRoot, site: Site, target: str, host: Host) -> None:
    assert recorded_host(target, fake_root, site) == host


def test_an_undeclared_board_has_a_gpu_that_nobody_knows(fake_root: FakeRoot, site: Site) -> None:
    fake_root.device_tree("nvidia,p3767-0004").l4t("36.9.9")
    host = host_of(read_machine(fake_root.root, {}), Packages(site("tensorrt")))
    assert (host.target, host.gpus, host.libraries) == (None, (HostGpu(""),), {"tensorrt": ""})


def test_the_lean_runtime_counts_where_tensorrt_itself_is_not(fake_root: FakeRoot, site: Site) -> None:
    lean = Packages(site(tensorrt__lean="10.13.3.9"))
    assert host_of(read_machine(fake_root.root, {}), lean).libraries == {"tensorrt": "10.13.3.9"}
    both = Packages(site(tensorrt="10.3.0"))
    assert host_of(read_machine(fake_root.root, {}), both).libraries == {"tensorrt": "10.3.0"}


def test_this_machine_can_be_asked() -> None:
    assert this_host().system


# F it fits; W it fits, but look at this; R it is refused, and what for. The plans, from left to right: of a Nano with
# TensorRT 10.3, an NX 16 with 10.16.2, a 3060 with 10.3, a 4090 with 10.16.1; of TensorRT-RTX for both cards, for one.
MATRIX = {
    "orin-nano-8": ("W power mode", "R library", "R system", "R system", "R system", "R system"),
    "orin-nx-8": ("W board", "R library", "R system", "R system", "R system", "R system"),
    "orin-nx-16": ("R library", "F", "R system", "R system", "R system", "R system"),
    "rtx-3060": ("R system", "R system", "F", "R library", "F", "R compute capability"),
    "rtx-4090": ("R system", "R system", "R library", "W driver", "R library", "R library"),
}


def _plans(made: ModuleType) -> list[tuple[str, object, bytes]]:
    newer = made.facts(
        "orin-nx-16", tensorrt_version="10.16.2.10", l4t="39.2.1", power_mode="10W", sm_count=4, cuda="13.2"
    )
    return [
        ("orin-nano-8", made.facts("orin-nano-8", power_mode="25W"), made.plan()),
        ("orin-nx-16", newer, made.plan()),
        ("rtx-3060", made.facts("rtx-3060"), made.plan()),
        ("rtx-4090", made.facts("rtx-4090", tensorrt_version="10.16.1.11"), made.plan()),
        ("rtx-4090", made.rtx_facts("8.6", "8.9"), made.rtx_plan(12)),
        ("rtx-4090", made.rtx_facts("8.9"), made.rtx_plan(8)),
    ]


@pytest.mark.parametrize("target", MATRIX)
def test_every_plan_on_every_machine(
    fake_root: FakeRoot, site: Site, tmp_path: Path, made_plans: ModuleType, target: str
) -> None:
    host = recorded_host(target, fake_root, site)
    for (built, facts, content), expected in zip(_plans(made_plans), MATRIX[target], strict=True):
        path = made_plans.write(tmp_path / "m.plan", built, facts, content)
        verdict = examine(path, host).verdict
        refused, differs = verdict.of(Outcome.REFUSED), verdict.of(Outcome.DIFFERS)
        assert not verdict.of(Outcome.UNKNOWN), (built, expected)
        word, _, subject = expected.partition(" ")
        assert {"F": not refused and not differs, "W": bool(differs) and not refused, "R": bool(refused)}[word], verdict
        subjects = [check.subject for check in (*refused, *differs)]
        assert not subject or subject in subjects, verdict
        assert all(check.cure for check in refused)
