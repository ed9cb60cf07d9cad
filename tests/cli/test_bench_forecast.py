"""amfac-bench forecast as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli.bench import main
from amfac_edge.cli.bench_forecast import print_forecasts
from amfac_edge.declared.target import load_target
from amfac_edge.performance.forecast import forecast_eager, forecast_engine, subject_of_recipe

if TYPE_CHECKING:
    from types import ModuleType

SMALL = "amfacpose-r18-256x256"
NANO = load_target("orin-nano-8")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:  # noqa: ANN401 - JSON
    assert main(["forecast", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_says_that_all_of_it_is_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "--target", "orin-nano,rtx-4090", "--precision", "fp16,int8", SMALL]) == 0
    out = capsys.readouterr().out
    assert f"{SMALL}: forecast, nothing below was measured" in out
    assert out.count("orin-nano-8 15W") == 3  # two engines, and eager
    assert "fits" in out
    assert "inference" in out


def test_low_and_high_are_said_to_be_what_each_model_has(capsys: pytest.CaptureFixture[str]) -> None:
    of_both = (forecast_engine(subject_of_recipe(SMALL), NANO, precision="fp16"), forecast_eager(SMALL, NANO))
    told = []
    for forecast in of_both:
        print_forecasts([forecast])
        out = capsys.readouterr().out
        told.append(("nine of ten" in out, "no share of runs" in out))
    assert told == [(True, False), (False, True)]


def test_every_mode_of_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "--target", "orin-nx-16", "--mode", "all", SMALL)["forecasts"]
    assert {each["mode"] for each in found} == {"MAXN", "10W", "15W", "25W", "MAXN_SUPER", "40W"}
    assert all(each["forecast"] and each["low_ms"] < each["mid_ms"] < each["high_ms"] for each in found)


def test_an_artefact_is_forecast_from_its_manifest(
    markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = markers.write_artefact(tmp_path / "engine.onnx")
    manifest = json.loads(path.with_name("engine.onnx.json").read_bytes())
    manifest["layers"] = [["conv", "Conv", 10**9, 10**8, "float32"]]
    path.with_name("engine.onnx.json").write_text(json.dumps(manifest))
    (found,) = said(capsys, "--target", "orin-nx-8", "--precision", "fp16", str(path))["forecasts"]
    assert (found["subject"], found["precision"], found["model"]) == ("engine.onnx", "fp16", "engine")
    assert any("made for a CPU" in line for line in found["basis"])
    manifest["layers"] = []
    path.with_name("engine.onnx.json").write_text(json.dumps(manifest))
    assert main(["forecast", "--target", "orin-nx-8", str(path)]) == 2
    assert "no layer costs" in capsys.readouterr().err


def test_a_run_sets_forecasts_beside_what_it_measured(
    markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = markers.write_artefact(tmp_path / "engine.onnx")
    manifest = json.loads(path.with_name("engine.onnx.json").read_bytes())
    manifest["layers"] = [["conv", "Conv", 10**9, 10**8, "float32"]]
    path.with_name("engine.onnx.json").write_text(json.dumps(manifest))
    words = ["run", str(path), "--iterations", "1", "--frame", "320x240", "--forecast"]
    assert main([*words, "orin-nano,rtx-4090", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["measured"]) == 1
    assert [each["target"] for each in found["forecasts"]] == ["orin-nano-8", "rtx-4090"]
    assert main([*words, "orin-nano"]) == 0
    assert "engine.onnx: forecast, nothing below was measured" in capsys.readouterr().out
    # Nothing is timed for a question that can't be answered.
    assert main([*words, "thor"]) == 2
    assert capsys.readouterr().out == ""


def test_errors_are_printed_whatever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "--errors"]) == 0
    out = capsys.readouterr().out
    assert "eager: one variant left out, on the same device\n  mean of each group within 5%: met" in out
    assert "median of each group within 25%: met" in out
    assert "is an inference" in out
    assert "don't say which Orin NX" in out
    tables = said(capsys, "--errors")["errors"]
    assert [table["met"] for table in tables] == [True, True, True, True, False, False]
    assert len(tables[0]["rows"]) == 20


def test_an_artefact_without_its_manifest_is_told_what_it_lacks(
    markers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = markers.write_artefact(tmp_path / "m.onnx", manifest=False)
    assert main(["forecast", "--target", "orin-nano", str(bare)]) == 2
    assert f"{bare}: a forecast needs the costs of its layers, which m.onnx.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([SMALL], "needs a model and a machine"),
        (["--target", "orin-nano"], "needs a model and a machine"),
        (["--target", "orin-nano", "amfacpose-r19"], '"amfacpose-r19" is neither'),
        (["--target", "orin-nano", "amfacpose-r18-256"], "? Of another model give the ONNX"),
        (["--target", "orin-nano", "absent.onnx"], "absent.onnx: no such file"),
        (["--target", "orin-nano", "absent.pth"], "absent.pth: a forecast is of an artefact or of a recipe"),
        (["--target", "orin-nan", SMALL], "orin-nan"),
        (["--target", "orin-nano", "--mode", "50W", SMALL], 'no power mode "50W"'),
        (["--target", "orin-nano", "--precision", "fp8", SMALL], '"fp8" is none of'),
        (["--target", "orin-nano", "--batch", "0", SMALL], "--batch 0"),
        (["--target", "thor", SMALL], "thor"),
        (["--target", "cpu", SMALL], "nothing was measured"),
        (["--errors", "--target", "orin-nano"], "stand alone"),
        (["--errors", "--mode", "15W"], "stand alone, without --mode"),
        (["--errors", "--precision", "int8", "--batch", "4"], "stand alone, without --precision, --batch"),
        (["--errors", SMALL], "stand alone, without FILE"),
        (["--errors", "--table4"], "stand alone, without each other"),
        (["--table4", "--calibrate", "r.json"], "stand alone, without --calibrate"),
    ],
)
def test_a_wrong_question_is_one_error(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", *words]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""


def test_table_4_is_the_one_that_the_readme_leads_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "--table4"]) == 0
    table = capsys.readouterr().out.strip()
    assert table in (Path(__file__).parents[2] / "README.md").read_text()
    assert len([line for line in table.splitlines() if "forecast" in line]) == 20
    assert "Met on 0 of 20: an engine was measured for none of them." in table
    found = said(capsys, "--table4")
    assert (len(found["cells"]), found["met"]) == (20, 0)
