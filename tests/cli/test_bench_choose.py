"""amfac-bench choose and figures as their user meets them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cli.bench import main

if TYPE_CHECKING:
    from pathlib import Path

SMALL = "amfacpose-r18-256x256"


def test_a_recommendation_says_what_it_is_made_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    picture = tmp_path / "choice.png"
    assert main(["choose", SMALL, "--target", "orin-nano", "--budget-ms", "20", "--save", str(picture)]) == 0
    out = capsys.readouterr().out
    (sentence,) = (line for line in out.splitlines() if line.startswith("for 20 ms"))
    assert "not measured" in sentence
    assert "yours" in out
    assert "amfac-eval measures" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_nothing_within_the_budget_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["choose", SMALL, "--target", "orin-nano", "--budget-ms", "0.01", "--min-ap", "73"]
    assert main(words) == 0
    assert "nothing here meets 0.01 ms and AP 73" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chosen"] is None


def test_a_checkpoint_is_known_by_its_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = pytest.importorskip("amfac_edge.networks.fresh")
    path = tmp_path / "mine.pth"
    fresh.fresh_checkpoint("amfacpose-r18-128x128", 0, path)
    assert main(["choose", str(path), "--target", "rtx-3060", "--budget-ms", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    own = [each for each in found["options"] if each["recipe"] == "amfacpose-r18-128x128"]
    assert [each["ap"] for each in own] == [None, None]
    assert found["chosen"]["measured"] is False


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([SMALL, "--target", "orin-nano", "--budget-ms", "0"], "--budget-ms 0"),
        ([SMALL, "--target", "orin-nano", "--budget-ms", "nan"], "--budget-ms nan"),
        ([SMALL, "--target", "orin-nano", "--budget-ms", "9", "--min-ap", "101"], "--min-ap 101"),
        ([SMALL, "--target", "orin-nano", "--budget-ms", "9", "--save", "a.txt"], "a.txt"),
        ([SMALL, "--target", "thor", "--budget-ms", "9"], "thor"),
        (["nobody", "--target", "orin-nano", "--budget-ms", "9"], "nobody"),
        (["absent.onnx", "--target", "orin-nano", "--budget-ms", "9"], "absent.onnx"),
    ],
)
def test_a_wrong_question_is_one_error(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", *words]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""


def test_the_figures_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2")
    assert main(["figures", "--out", str(tmp_path / "drawn"), "--json"]) == 0
    paths = json.loads(capsys.readouterr().out)["figures"]
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "amfacpose-figure11.png",
        "amfacpose-figure7.png",
        "eba-prnetcc-figure5.png",
    ]
    assert len(paths) == 3
    absent = str(tmp_path / "absent.json")
    assert main(["figures", absent, "--out", str(tmp_path / "other")]) == 2
    assert absent in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
