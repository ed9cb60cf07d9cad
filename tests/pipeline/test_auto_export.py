"""amfac-export --precision auto: the target's own precision, INT8 beside it, and which of them is the faster one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from amfac_edge.cli import export_auto
from amfac_edge.cli.export import main
from amfac_edge.cli.export_auto import Made, choices
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, MachineError
from amfac_edge.performance.faster import SpeedRatio, speed_ratio
from amfac_edge.performance.timing import Limits
from amfac_edge.pipeline import exporting

if TYPE_CHECKING:
    from pathlib import Path

SET = """
schema = "amfac-calibration/1"
title = "A few drawn people"
count = 16
held_out = 16
seed = 3
[source]
generated = true
"""


@pytest.fixture
def words(tiny_checkpoint: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "small.toml").write_text(SET)
    out = tmp_path / "out"
    return [str(tiny_checkpoint), "--precision", "auto", "--out", str(out), "--json"]


def calibrated(tmp_path: Path) -> list[str]:
    return ["--calib", str(tmp_path / "small.toml"), "--max-shift-px", "100", "--max-ap-drop", "100"]


def chosen(text: str) -> dict[str, object]:
    report = json.loads(text)
    assert len(report["choices"]) == 1
    choice: dict[str, object] = report["choices"][0]
    return choice


def test_the_faster_one_is_chosen_where_both_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[str, str]] = []

    def pretended(first: Path, second: Path) -> SpeedRatio:
        measured.append((first.name, second.name))
        return SpeedRatio((4.0, 4.0, 6.0), (2.0, 2.0, 2.0))

    monkeypatch.setattr(export_auto, "speed_ratio", pretended)
    assert main([*words, "--target", "cpu", *calibrated(tmp_path)]) == 0
    said = capsys.readouterr()
    assert measured == [("tiny.cpu.fp32.onnx", "tiny.cpu.int8.onnx")]
    choice = chosen(said.out)
    assert (choice["precision"], choice["int8_times_as_fast"]) == ("int8", 2.0)
    assert choice["path"] == str(tmp_path / "out" / "tiny.cpu.int8.onnx")
    assert "INT8 is 2.00 times as fast as FP32, faster in every round" in said.err
    assert len(json.loads(said.out)["artefacts"]) == 2


def test_a_board_says_which_is_faster(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--target", "orin-nano", *calibrated(tmp_path)]) == 0
    said = capsys.readouterr()
    choice = chosen(said.out)
    assert (choice["precision"], choice["path"], choice["measured_ms"]) == (None, None, None)
    assert "FP16 or INT8 is for the Jetson Orin Nano 8 GB to say" in said.err
    kits = sorted(path.name for path in (tmp_path / "out").glob("*.kit.tar.gz"))
    assert kits == ["tiny.orin-nano-8.fp16.kit.tar.gz", "tiny.orin-nano-8.int8.kit.tar.gz"]


def test_int8_that_its_gate_refuses_is_left_out(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, name: str) -> None:
        raise GateError(f"{name}: INT8 is over its budget", cure="Use FP16.")

    monkeypatch.setattr(exporting, "check_int8", refused)
    assert main([*words, "--target", "cpu", *calibrated(tmp_path)]) == 0
    said = capsys.readouterr()
    assert chosen(said.out)["precision"] == "fp32"
    assert "INT8 is left out: tiny.cpu.int8.onnx: INT8 is over its budget" in said.err
    assert not (tmp_path / "out" / "tiny.cpu.int8.onnx").exists()


def test_without_a_set_it_is_the_targets_own(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--target", "cpu"]) == 0
    said = capsys.readouterr()
    assert chosen(said.out)["precision"] == "fp32"
    assert "INT8 is left out: it is calibrated with people, and no set of them was named (--calib SET)" in said.err


def test_a_slower_round_is_enough_to_stay_with_the_targets_own() -> None:
    assert not SpeedRatio((4.0, 4.0, 4.0), (2.0, 4.5, 2.0)).second_wins
    assert SpeedRatio((4.0, 4.0, 4.0), (2.0, 4.5, 2.0)).ratio == 2.0


def test_two_artefacts_are_measured_in_turn(words: list[str], tmp_path: Path) -> None:
    assert main([*words, "--target", "cpu", "--batch", "2"]) == 0
    path = tmp_path / "out" / "tiny.cpu.fp32.b2.onnx"
    found = speed_ratio(path, path, rounds=3, limits=Limits(iterations=2, warmup=1), threads=1)
    assert len(found.first_ms) == len(found.second_ms) == 3
    assert min(*found.first_ms, *found.second_ms) > 0


def made(precision: str, tmp_path: Path, *, board: str | None, trial_ms: float | None = None) -> Made:
    """What an export of that precision comes to; `trial_ms` of a board's trial."""
    settings: dict[str, object] = {} if trial_ms is None else {"trial": {"compute_ms": trial_ms}}
    facts = SimpleNamespace(flavour="tensorrt", settings=settings)
    plan = SimpleNamespace(path=tmp_path / f"m.{precision}.plan", manifest=SimpleNamespace(plan=facts))
    exported = SimpleNamespace(path=tmp_path / f"m.{precision}.onnx", manifest=SimpleNamespace(precision=precision))
    engine = SimpleNamespace(plan=plan, kit=None, board=board)
    return Made(cast("Any", exported), load_target("orin-nano"), cast("Any", engine))


@pytest.mark.parametrize(("int8_ms", "precision"), [(1.2, "int8"), (2.0, "fp16")])
def test_a_boards_own_trials_choose(tmp_path: Path, int8_ms: float, precision: str) -> None:
    both = [
        made("fp16", tmp_path, board="me@nano", trial_ms=1.9),
        made("int8", tmp_path, board="me@nano", trial_ms=int8_ms),
    ]
    (choice,) = choices(both)
    told = choice.as_json()
    assert (told["precision"], told["path"]) == (precision, str(tmp_path / f"m.{precision}.plan"))
    assert told["measured_ms"] == {"fp16": (1.9,), "int8": (int8_ms,)}
    assert f"by one trial of each on me@nano: FP16 1.900 ms, INT8 {int8_ms:.3f} ms a call" in "\n".join(choice.lines())


def test_a_board_that_tried_one_of_them_chooses_nothing(tmp_path: Path) -> None:
    (choice,) = choices(
        [made("fp16", tmp_path, board="me@nano", trial_ms=1.9), made("int8", tmp_path, board="me@nano")]
    )
    assert choice.chosen is None
    assert "is for the Jetson Orin Nano 8 GB to say" in "\n".join(choice.lines())


def test_plans_that_cant_be_opened_here_are_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Path) -> SpeedRatio:
        raise MachineError("m.fp16.plan: the driver is too old", cure="Install a newer one.")

    monkeypatch.setattr(export_auto, "speed_ratio", refused)
    (choice,) = choices([made("fp16", tmp_path, board=None), made("int8", tmp_path, board=None)])
    assert choice.as_json()["precision"] is None
    said = "\n".join(choice.lines())
    assert "FP16 or INT8 was not measured: m.fp16.plan: the driver is too old" in said
    assert f"amfac-bench {tmp_path / 'm.fp16.plan'} {tmp_path / 'm.int8.plan'}" in said
