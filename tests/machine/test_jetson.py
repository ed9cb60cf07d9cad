"""Boards are told by their device tree, JetPack by its release file, the power mode by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.target import load_target, target_names
from amfac_edge.errors import DeclaredError
from amfac_edge.machine.jetson import GpuClock, read_jetson

if TYPE_CHECKING:
    from tests.fake_root import FakeRoot

BOARDS = [(name, board) for name in target_names() for board in load_target(name).board_ids]
SUPER = [(0, "15W"), (1, "25W"), (2, "MAXN_SUPER"), (3, "7W")]


@pytest.mark.parametrize(("target", "board"), BOARDS)
@pytest.mark.parametrize("suffix", ["", "-super"])
def test_every_declared_board_is_recognised(fake_root: FakeRoot, target: str, board: str, suffix: str) -> None:
    fake_root.device_tree(f"nvidia,p3768-0000+{board}{suffix}", f"nvidia,{board}", model="NVIDIA Jetson X")
    jetson = read_jetson(fake_root.root, {})
    assert jetson is not None
    assert (jetson.target, jetson.board_id, jetson.title) == (target, board, "NVIDIA Jetson X")
    assert jetson.super_configuration == bool(suffix)


@pytest.mark.parametrize(
    ("release", "folder", "jetpack", "tensorrt", "python"),
    [
        ("35.4.1", "17000000.ga10b", "5.1", "8.5.2", "3.8"),
        ("36.3.0", "17000000.gpu", "6.0", "8.6.2", "3.10"),
        ("36.4.0", "17000000.gpu", "6.1", "10.3.0", "3.10"),
        ("36.4.7", "17000000.gpu", "6.2", "10.3.0", "3.10"),
        ("39.2.1", "gpu-gpc-0", "7.2", "10.16.2", "3.12"),
    ],
)
def test_jetpack_by_its_release(
    fake_root: FakeRoot, release: str, folder: str, jetpack: str, tensorrt: str, python: str
) -> None:
    fake_root.device_tree("nvidia,p3767-0000").l4t(release).gpu_clock(folder, 306_000_000, 306_000_000, 918_000_000)
    jetson = read_jetson(fake_root.root, {})
    assert jetson is not None
    assert jetson.stack is not None
    assert (jetson.l4t, jetson.jetpack) == (release, jetpack)
    assert (jetson.stack.tensorrt, jetson.stack.python) == (tensorrt, python)
    assert jetson.gpu_clock == GpuClock(now_mhz=306, min_mhz=306, max_mhz=918)


def test_an_unknown_release_is_known_by_its_major(fake_root: FakeRoot) -> None:
    jetson = read_jetson(fake_root.device_tree("nvidia,p3767-0000").l4t("36.9.9").root, {})
    assert jetson is not None
    assert (jetson.jetpack, jetson.stack and jetson.stack.jetpack) == ("6", "6.2")
    jetson = read_jetson(fake_root.l4t("50.1.0").root, {})
    assert jetson is not None
    assert (jetson.l4t, jetson.jetpack, jetson.stack) == ("50.1.0", None, None)


def test_thor_has_the_releases_that_orin_lacks(fake_root: FakeRoot) -> None:
    jetson = read_jetson(fake_root.device_tree("nvidia,p3834-0008").l4t("38.2.1").root, {})
    assert jetson is not None
    assert (jetson.target, jetson.jetpack) == ("thor", "7.0")


@pytest.mark.parametrize(("current", "name"), [(0, "15W"), (1, "25W"), (2, "MAXN_SUPER"), (3, "7W"), (9, None)])
def test_the_power_mode_by_its_name(fake_root: FakeRoot, current: int, name: str | None) -> None:
    jetson = read_jetson(fake_root.device_tree("nvidia,p3767-0003-super").nvpmodel(SUPER, current).root, {})
    assert jetson is not None
    assert jetson.power_mode == name


def test_a_bare_board_has_no_facts_rather_than_wrong_ones(fake_root: FakeRoot) -> None:
    jetson = read_jetson(fake_root.device_tree("nvidia,p3767-0001").root, {})
    assert jetson is not None
    assert (jetson.target, jetson.l4t, jetson.jetpack, jetson.stack) == ("orin-nx-8", None, None, None)
    assert (jetson.power_mode, jetson.gpu_clock) == (None, None)


def test_an_undeclared_board_is_a_jetson_without_a_target(fake_root: FakeRoot) -> None:
    fake_root.device_tree("nvidia,p3767-0004", model="NVIDIA Jetson Orin Nano 4GB").l4t("36.4.7")
    jetson = read_jetson(fake_root.root, {})
    assert jetson is not None
    assert (jetson.target, jetson.board_id, jetson.jetpack) == (None, None, "6.2")
    assert jetson.title == "NVIDIA Jetson Orin Nano 4GB"


def test_a_container_without_a_device_tree_is_told_its_board(fake_root: FakeRoot) -> None:
    fake_root.l4t("36.4.7").write("tmp/nv_jetson_model", "NVIDIA Jetson Orin NX Engineering Reference Kit\0")
    jetson = read_jetson(fake_root.root, {})
    assert jetson is not None
    assert jetson.target is None
    assert jetson.title == "NVIDIA Jetson Orin NX Engineering Reference Kit"
    jetson = read_jetson(fake_root.root, {"AMFAC_BOARD": "orin-nx-16"})
    assert jetson is not None
    assert (jetson.target, jetson.jetpack) == ("orin-nx-16", "6.2")


def test_the_variable_takes_aliases_and_refuses_what_is_no_board(fake_root: FakeRoot) -> None:
    jetson = read_jetson(fake_root.root, {"AMFAC_BOARD": "orin-nano"})
    assert jetson is not None
    assert (jetson.target, jetson.title) == ("orin-nano-8", "Jetson Orin Nano 8 GB")
    with pytest.raises(DeclaredError, match='AMFAC_BOARD: the target "orin-nx" is ambiguous') as raised:
        read_jetson(fake_root.root, {"AMFAC_BOARD": "orin-nx"})
    assert "orin-nx-8, orin-nx-16" in raised.value.cure
    with pytest.raises(DeclaredError, match='AMFAC_BOARD: "cpu" is no Jetson board') as raised:
        read_jetson(fake_root.root, {"AMFAC_BOARD": "cpu"})
    assert "orin-nano-8" in raised.value.cure


def test_any_other_machine_is_no_jetson(fake_root: FakeRoot) -> None:
    assert read_jetson(fake_root.root, {}) is None
    assert read_jetson(fake_root.root, {"AMFAC_BOARD": ""}) is None
    fake_root.write("proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert read_jetson(fake_root.root, {}) is None
