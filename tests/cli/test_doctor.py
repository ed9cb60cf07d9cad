"""amfac-doctor prints what it found as a table or as one JSON object, and ends with 0 or 3."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli import doctor
from amfac_edge.declared.target import load_target
from amfac_edge.machine.cards import Card, Cards
from amfac_edge.machine.diagnosis import Diagnosis, Finding, Mark
from amfac_edge.machine.jetson import GpuClock, Jetson
from amfac_edge.machine.processor import MemoryNow, Processor
from amfac_edge.machine.this_machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    Show = Callable[..., str]

NO_CARDS = Cards((), None, 0)
ABLE = Finding(Mark.OK, "amfac-run, amfac-bench", "run an artefact on the CPU")
EXPORT = Finding(Mark.OK, "amfac-export", "make an artefact of a checkpoint")
NO_EXPORT = Finding(Mark.MISSING, "amfac-export", "make an artefact of a checkpoint: lacks export", "pip install torch")
UNABLE = Finding(
    Mark.MISSING, "amfac-run, amfac-bench", "run an artefact on the CPU: lacks cpu", 'pip install "amfac-edge[cpu]"'
)
LONG = Finding(Mark.WARNING, "onnxruntime", "two of them " * 12, "pip uninstall -y " + "a-rather-long-name " * 12)


def machine(jetson: Jetson | None = None, cards: Cards = NO_CARDS) -> Machine:
    processor = Processor("A Processor", "aarch64", 8, ("asimd", "asimddp"), "schedutil")
    return Machine("Ubuntu 22.04.5 LTS", "5.15.148-tegra", processor, MemoryNow(15643, 9000, 2048), jetson, cards)


def jetson(mode: str | None, *, super_configuration: bool = False, l4t: str = "36.4.7") -> Jetson:
    stack = load_target("orin-nx-16").stacks[3]
    jetpack = "6.2" if stack.has_l4t(l4t) else "6"
    title = "NVIDIA Jetson Orin NX"
    clock = GpuClock(306, 306, 408)
    return Jetson(title, "p3767-0000", "orin-nx-16", super_configuration, l4t, jetpack, stack, mode, clock)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """The command's standard output on a machine with these findings, after a check of its exit code."""

    def run(
        *arguments: str,
        on: Machine | None = None,
        target: str | None = "cpu",
        ability: Finding = ABLE,
        export: Finding = EXPORT,
        problems: tuple[Finding, ...] = (),
        next_step: str = "",
    ) -> str:
        extras = (Finding(Mark.OK, "base", "numpy 1.26.4"),)
        diagnosis = Diagnosis(target, extras, (ability, export), problems)
        monkeypatch.setattr(doctor, "read_machine", lambda: on or machine())
        monkeypatch.setattr(doctor, "diagnose", lambda *_: diagnosis)
        assert doctor.main(arguments) == (0 if ability.mark is Mark.OK else 3)
        printed = capsys.readouterr()
        assert next_step in printed.err
        return printed.out

    return run


def test_the_table_has_its_sections_and_marks(show: Show) -> None:
    text = show(problems=(LONG,))
    assert [line for line in text.splitlines() if re.fullmatch(r"[A-Z][\w ]+", line)] == [
        "Machine",
        "Packages",
        "What works here",
        "Problems",
    ]
    assert "  ok       base  numpy 1.26.4" in text
    assert "  ok       amfac-run, amfac-bench  run an artefact on the CPU" in text
    assert "  warning  onnxruntime  two of them" in text
    assert "processor   A Processor, 8 hardware threads, aarch64; asimd, asimddp" in text
    assert "memory      15.3 GiB, 8.8 GiB available, 2.0 GiB of swap free" in text
    assert "target      cpu, which --target auto stands for here" in text
    assert "none found" in show()


def test_lines_fit_a_terminal_but_commands_stay_whole(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    lines = show(problems=(LONG,)).splitlines()
    assert LONG.cure.strip() in "\n".join(lines)
    assert all(len(line) <= 70 for line in lines if "a-rather-long-name" not in line)


def test_what_is_missing_ends_with_3_and_its_command(show: Show) -> None:
    assert UNABLE.cure in show(ability=UNABLE, next_step=f"To mend it: {UNABLE.cure}")


def test_a_machine_that_works_is_told_what_to_type(show: Show) -> None:
    show(next_step="Next: amfac-export CHECKPOINT --target cpu")
    assert NO_EXPORT.cure in show(export=NO_EXPORT, next_step="Next: amfac-run --engine ")


@pytest.mark.parametrize(
    ("mode", "super_configuration", "line"),
    [
        ("25W", False, "25W: GPU up to 408 of 918 MHz on 8 of 8 SMs"),
        ("15W", False, "15W: GPU up to 612 of 918 MHz on 4 of 8 SMs"),
        ("MAXN_SUPER", True, "MAXN_SUPER, Super configuration: GPU up to 1173 of 1173 MHz on 8 of 8 SMs"),
        ("custom", False, "custom"),
        (None, False, "unknown (nvpmodel's status can't be read)"),
    ],
)
def test_a_board_shows_what_its_power_mode_leaves(
    show: Show, mode: str | None, line: str, *, super_configuration: bool
) -> None:
    text = show(on=machine(jetson(mode, super_configuration=super_configuration)), target="orin-nx-16")
    assert f"  power mode  {line}\n" in text
    assert "  board       NVIDIA Jetson Orin NX (p3767-0000)\n" in text
    assert "  JetPack     6.2 (L4T 36.4.7, TensorRT 10.3.0, CUDA 12.6, Python 3.10)\n" in text
    assert "  GPU clock   306 MHz now, 306 to 408 MHz allowed\n" in text
    assert "NVIDIA GPU" not in text


def test_an_unknown_release_is_said_to_be_unknown(show: Show) -> None:
    text = show(on=machine(jetson("MAXN", l4t="36.9.9")), target="orin-nx-16")
    assert "6 (L4T 36.9.9, a release that this version of amfac-edge doesn't know)" in text


@pytest.mark.parametrize(
    ("cards", "line"),
    [
        (NO_CARDS, "none"),
        (Cards((), "550.54.15", 1), "none that answers"),
        (
            Cards((Card("NVIDIA H200", "9.0", 143771), Card("NVIDIA X", "7.5", None)), "570.1", 2),
            "NVIDIA H200, compute capability 9.0, 140.4 GiB; NVIDIA X, compute capability 7.5; driver 570.1",
        ),
    ],
)
def test_cards_are_listed(show: Show, cards: Cards, line: str) -> None:
    text = show(on=machine(cards=cards), target=None)
    assert f"  NVIDIA GPU  {line}\n" in text
    assert "target      none that is declared: --target auto won't work here" in text


def test_json_is_one_object_with_everything(show: Show) -> None:
    found: dict[str, Any] = json.loads(show("--json", on=machine(jetson("25W")), ability=UNABLE, problems=(LONG,)))
    assert found["schema"] == "amfac-doctor/1"
    assert found["exit_code"] == 3
    assert found["machine"]["jetson"]["power_mode"] == "25W"
    assert found["machine"]["memory"] == {"total_mib": 15643, "available_mib": 9000, "swap_free_mib": 2048}
    assert found["abilities"][0] == {
        "mark": "missing",
        "subject": UNABLE.subject,
        "detail": UNABLE.detail,
        "cure": UNABLE.cure,
    }
    assert [finding["mark"] for finding in found["extras"] + found["problems"]] == ["ok", "warning"]


def test_colours_are_for_terminals(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in show()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    coloured = show()
    assert "\x1b[32mok     \x1b[0m  base" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert re.sub(r"\x1b\[\d+m", "", coloured) == show()


def test_a_wrong_board_variable_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMFAC_BOARD", "orin-nx")
    assert doctor.main([]) == 2
    assert "AMFAC_BOARD" in capsys.readouterr().err


def test_it_runs_on_this_machine_without_any_extra() -> None:
    """A process in which nothing but the standard library can be imported: the doctor comes before the medicine."""
    blocked = ("numpy", "onnxruntime", "cv2", "torch", "onnx", "onnxsim", "safetensors", "tensorrt", "cuda")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({blocked!r}))
from amfac_edge.cli.doctor import main
sys.exit(main(["--json"]))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert finished.returncode in {0, 3}, finished.stderr.decode()
    assert json.loads(finished.stdout)["schema"] == "amfac-doctor/1"
