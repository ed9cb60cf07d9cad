"""amfac-bench as its user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cli.bench import main

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "engine.onnx")
    return path


def test_a_table_for_people(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(engine), "--iterations", "70", "--frame", "320x240", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "measured on" in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("engine", "frame", "crop"))}
    assert rows["frame"][1] == "70"
    assert rows["frame"][6] == "few"  # no p99 of 70 samples


def test_json_has_every_sample_and_what_it_was_measured_on(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(engine), "--iterations", "5", "--people", "2", "--no-spin", "--json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    assert set(measured["series"]) == {"engine", "frame", "crop", "network", "decode"}
    assert len(measured["series"]["frame"]["samples_ms"]) == 5
    assert measured["series"]["frame"]["statistics"]["p99"] is None
    assert measured["conditions"]["people"] == 2
    assert measured["conditions"]["spinning"] is False
    assert measured["conditions"]["frame"] == "1920x1080"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.onnx"], "none.onnx"),
        (["{engine}", "--threads", "0"], "threads=0"),
        (["{engine}", "--people", "0"], "--people 0"),
        (["{engine}", "--iterations", "0"], "--iterations 0"),
        (["{engine}", "--seconds", "-1"], "--seconds -1"),
        (["{engine}", "--frame", "1x1"], "--frame 1x1"),
        (["{engine}", "--frame", "none.jpg"], "none.jpg"),
        (["{engine}", "--theads", "2"], "--theads is no option; did you mean --threads"),
        (["forecast", "--target", "orin-nano"], "amfac-bench forecast is not in this version"),
        (["peers", "--threads", "0"], '--threads "0"'),
        (["peers", "--threads", "two"], '--threads "two"'),
        (["peers", "--rounds", "0"], "--rounds 0"),
        (["peers", "--recipe", "amfacpose-r19"], 'unknown recipe "amfacpose-r19"'),
    ],
)
def test_wrong_words(engine: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main([word.format(engine=engine) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_file_that_is_no_artefact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"\x00" * 100)
    assert main([str(noise)]) == 2
    assert "noise.onnx" in capsys.readouterr().err


@pytest.mark.slow
def test_peers_of_a_tiny_model(tiny_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["peers", "--recipe", str(tiny_recipe), "--rounds", "1", "--seconds", "0.1", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == "untrained, seed 0"
    (comparison,) = found["comparisons"]
    assert set(comparison["frame_ms"]) == {"eager torch", "plain ONNX Runtime", "ours"}
    assert set(comparison["ratios"]) == {"eager torch", "plain ONNX Runtime"}
    assert all(times[0] > 0 for times in comparison["network_ms"].values())
    assert main(words) == 0
    assert "ours is faster by" in capsys.readouterr().out
