"""Every target in `engines/` loads with the peaks of the data sheets; wrong names and files are explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.target import load_target, load_targets, target_names
from amfac_edge.errors import DeclaredError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = target_names()


def test_the_targets_are_there() -> None:
    orin = {"orin-nano-8", "orin-nx-8", "orin-nx-16", "agx-orin-32", "agx-orin-64"}
    assert set(NAMES) == {"cpu", "rtx-3060", "rtx-4090", "thor"} | orin


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_whole(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert (target.gpu is None) == (target.memory is None) == (target.kind == "cpu")
    assert bool(target.board_ids) == (target.kind == "jetson")
    assert (target.default_precision, target.default_batch) == (("fp32", "1") if name == "cpu" else ("fp16", "1-4"))
    assert bool(target.sources) == bool(target.unverified) == (target.kind != "cpu")
    for mode in target.modes.values():
        assert target.gpu_clock_mhz(mode.name) is not None


def test_names_aliases_and_boards_are_unique() -> None:
    targets = [load_target(name) for name in NAMES]
    names = [*NAMES, *(alias for target in targets for alias in target.aliases), "auto"]
    boards = [board for target in targets for board in target.board_ids]
    assert len(set(names)) == len(names)
    assert len(set(boards)) == len(boards)


@pytest.mark.parametrize(
    ("name", "fp32", "fp16", "int8"),
    [
        ("orin-nano-8", 1.28, 10.2, 20.5),
        ("orin-nx-8", 1.57, 12.5, 25.1),
        ("orin-nx-16", 1.88, 15.0, 30.1),
        ("agx-orin-64", 5.3, 42.6, 85.2),
        ("agx-orin-32", 3.3, 26.7, 53.3),
        ("rtx-3060", 12.74, 51.0, 101.9),
        ("rtx-4090", 82.6, 330.3, 660.6),
    ],
)
def test_peaks_follow_from_clocks_and_sms(name: str, fp32: float, fp16: float, int8: float) -> None:
    target = load_target(name)
    # The expected figures are printed with this many digits.
    assert target.fp32_tflops() == pytest.approx(fp32, abs=0.05)
    assert target.fp16_dense_tflops() == pytest.approx(fp16, abs=0.06)
    assert target.int8_dense_tops() == pytest.approx(int8, abs=0.06)


@pytest.mark.parametrize(
    ("name", "mode", "fp16", "int8"),
    [
        ("orin-nano-8", "15W", 10.2, 20.5),
        ("orin-nano-8", "15W-super", 10.0, 20.1),
        ("orin-nano-8", "25W", 15.0, 30.1),
        ("orin-nano-8", "MAXN_SUPER", 16.7, 33.4),
        ("orin-nano-8", "7W", 3.3, 6.7),
        ("orin-nx-8", "10W", 5.0, 10.0),
        ("orin-nx-16", "15W", 5.0, 10.0),
        ("orin-nx-8", "20W", 6.7, 13.4),
        ("orin-nx-16", "25W", 6.7, 13.4),
        ("orin-nx-8", "40W", 19.2, 38.4),
        ("orin-nx-16", "MAXN_SUPER", 19.2, 38.4),
    ],
)
def test_peaks_of_a_power_mode(name: str, mode: str, fp16: float, int8: float) -> None:
    target = load_target(name)
    assert target.fp16_dense_tflops(mode) == pytest.approx(fp16, abs=0.06)
    assert target.int8_dense_tops(mode) == pytest.approx(int8, abs=0.06)


def test_bandwidth_follows_the_memory_clock() -> None:
    nano = load_target("orin-nano-8")
    assert nano.bandwidth_gbs("15W") == 68
    assert nano.bandwidth_gbs("25W") == pytest.approx(102, abs=0.5)
    assert nano.bandwidth_gbs("MAXN_SUPER") == 102
    assert load_target("orin-nx-16").bandwidth_gbs("10W") == pytest.approx(68.3, abs=0.05)
    assert load_target("orin-nx-16").bandwidth_gbs("25W") == 102.4


def test_what_nobody_knows_is_none() -> None:
    thor, cpu, agx = load_target("thor"), load_target("cpu"), load_target("agx-orin-64")
    assert thor.gpu_clock_mhz() is thor.fp32_tflops() is thor.fp16_dense_tflops() is thor.int8_dense_tops() is None
    assert cpu.gpu_clock_mhz() is cpu.fp32_tflops() is cpu.int8_dense_tops() is cpu.bandwidth_gbs() is None
    assert agx.fp16_dense_tflops("30W") is None
    assert agx.gpu_clock_mhz("30W") == 612


def test_the_paper_is_held_against_full_clocks() -> None:
    modes = {name: load_target(name).paper_mode for name in ("orin-nano-8", "orin-nx-8", "orin-nx-16", "rtx-4090")}
    assert modes == {"orin-nano-8": "15W", "orin-nx-8": "MAXN", "orin-nx-16": "MAXN", "rtx-4090": None}
    # The printed ratio of Orin NX 16 to Orin Nano is 1.40 to 1.475: that of the clocks, 918 / 624.75.
    nano, nx = load_target("orin-nano-8").gpu_clock_mhz("15W"), load_target("orin-nx-16").gpu_clock_mhz("MAXN")
    assert nano is not None
    assert nx is not None
    assert nx / nano == pytest.approx(1.469, abs=0.001)
    assert load_target("orin-nx-16").gpu_clock_mhz("25W") == 408


def test_a_board_names_its_modes_by_configuration() -> None:
    nano = load_target("orin-nano-8")
    plain, super_ = (nano.mode_on_board("15W", super_configuration=flag) for flag in (False, True))
    assert plain is nano.modes["15W"]
    assert super_ is nano.modes["15W-super"]
    assert nano.mode_on_board("7W", super_configuration=True) is nano.modes["7W"]
    assert nano.mode_on_board("99W", super_configuration=False) is None
    defaults = {
        name: [m.name for m in load_target(name).modes.values() if m.default] for name in ("orin-nano-8", "orin-nx-8")
    }
    assert defaults == {"orin-nano-8": ["15W", "25W"], "orin-nx-8": ["15W", "40W"]}


def test_an_unknown_mode_shows_near_names() -> None:
    with pytest.raises(DeclaredError, match='orin-nx-8 has no power mode "MAX"') as raised:
        load_target("orin-nx-8").mode("MAX")
    assert "MAXN" in raised.value.cure


def test_stacks_know_their_releases() -> None:
    stacks = load_target("orin-nx-16").stacks
    found = {
        release: [stack.jetpack for stack in stacks if stack.has_l4t(release)]
        for release in ("35.4.1", "36.3.0", "36.4.0", "36.4.7", "36.5.0", "38.2.0", "39.2.1", "39.20.0")
    }
    assert found == {
        "35.4.1": ["5.1"],
        "36.3.0": ["6.0"],
        "36.4.0": ["6.1"],
        "36.4.7": ["6.2"],
        "36.5.0": ["6.2"],
        "38.2.0": [],
        "39.2.1": ["7.2"],
        "39.20.0": [],
    }


def test_an_alias_and_a_list() -> None:
    assert load_target("orin-nano") == load_target("orin-nano-8")
    assert [target.name for target in load_targets("rtx-3060, orin-nano,orin-nano-8,cpu")] == [
        "rtx-3060",
        "orin-nano-8",
        "cpu",
    ]


@pytest.mark.parametrize(
    ("name", "listed"),
    [("orin-nx", "orin-nx-8, orin-nx-16"), ("rtx", "rtx-3060, rtx-4090"), ("agx-orin", "agx-orin-32, agx-orin-64")],
)
def test_a_name_that_fits_several_lists_them(name: str, listed: str) -> None:
    with pytest.raises(DeclaredError, match=f'"{name}" is ambiguous') as raised:
        load_target(name)
    assert listed in raised.value.cure


@pytest.mark.parametrize(
    ("name", "near"), [("orin-nanno", "orin-nano"), ("RTX-3060", "rtx-3060"), ("jetson!", "known: agx-orin-32")]
)
def test_an_unknown_name_shows_near_names(name: str, near: str) -> None:
    with pytest.raises(DeclaredError, match=f'unknown target "{name}"') as raised:
        load_targets(f"cpu,{name}")
    assert near in raised.value.cure


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "my-board.toml"
    path.write_text(
        'schema = "amfac-target/1"\ntitle = "Mine"\nkind = "cpu"\ndefault_precision = "int8"\ndefault_batch = "2-8"\n'
    )
    target = load_target(path)
    assert (target.name, target.default_batch, target.gpu) == ("my-board", "2-8", None)
    with pytest.raises(DeclaredError, match="no such target file"):
        load_target(tmp_path / "absent.toml")


def test_two_targets_of_one_name_would_overwrite_each_other(tmp_path: Path) -> None:
    path = tmp_path / "cpu.toml"
    path.write_text(
        'schema = "amfac-target/1"\ntitle = "Mine"\nkind = "cpu"\ndefault_precision = "fp32"\ndefault_batch = "4"\n'
    )
    with pytest.raises(DeclaredError, match='two different targets are named "cpu"'):
        load_targets(f"cpu,{path}")


def test_every_fault_of_a_target_is_named_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "My_Board.toml"
    path.write_text(
        """
schema = "amfac-target/1"
title = "Mine"
kind = "jetson"
default_precision = "fp61"
default_batch = "4-1"
paper_mode = "MAXM"
power_w = [25, 7]
board_ids = ["3767"]
[gpu]
name = "G"
compute_capability = "8"
sms = 8
cuda_cores = 1024
tensor_core = 32
clock_mhz = "fast"
[memory]
gb = 8
bus_bits = 128
bandwidth_gbs = 68
unified = "yes"
[[stacks]]
tensorrt = "ten"
cuda = "12.6"
[modes.MAXN]
sms = 16
default = 1
"""
    )
    with pytest.raises(DeclaredError) as raised:
        load_target(path)
    lines = raised.value.problem.splitlines()
    assert lines[0] == f"{path}: 14 faults:"
    for start in (
        'name: "My_Board" must be lower-case',
        'default_precision: "fp61" is none of fp32, fp16, int8',
        'default_batch: "4-1" is neither N nor MIN-MAX',
        'paper_mode: "MAXM" is no mode of this file; did you mean MAXN?',
        "power_w: [25, 7] is not [lowest, highest]",
        'board_ids: "3767" is not of the form p3767-0003',
        'gpu.compute_capability: "8" is not of the form 8.7',
        "gpu.tensor_core: unknown key; did you mean tensor_cores",
        'gpu.clock_mhz: expected a number, got "fast"',
        'memory.unified: expected true or false, got "yes"',
        'stacks[0].tensorrt: "ten" is no version number',
        "stacks[0].python: this key is missing",
        "modes.MAXN.default: expected true or false, got 1",
        "modes.MAXN.sms: 16 are more than the 8 of gpu.sms",
    ):
        assert any(line.strip().startswith(start) for line in lines), start
