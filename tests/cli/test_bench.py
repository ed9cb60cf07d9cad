"""amfac-bench as its user meets it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cli.bench import main
from amfac_edge.performance import read_receipt
from amfac_edge.performance.peers import Comparison

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame after a second of idling takes a second."""
    monkeypatch.setattr("amfac_edge.performance.measuring._after_idle", lambda *_: (1.0,))


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
    assert rows["frame"][7] == "few"  # no p99 of 70 samples
    assert "few: n too small: needs a p90 64, a p95 130, a p99 662 samples" in out
    assert "cold start: opening the file" in out


def test_a_series_that_lasts_is_announced(
    engine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([str(engine), "--seconds", "0.01", "--idle", "0"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("amfac_edge.cli.bench_run._SHORT_S", 0.0)
    assert main([str(engine), "--seconds", "0.01", "--idle", "0"]) == 0
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["amfac-bench: frame", "amfac-bench: engine", "amfac-bench: ahead"]


def test_run_is_meant_where_options_come_first(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--iterations", "1", str(engine)]) == 0
    assert len(json.loads(capsys.readouterr().out)["measured"]) == 1


def test_a_busy_machine_is_told(
    engine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amfac_edge.performance.observing.cpu_seconds_of_others", itertools.count(0, 1000).__next__)
    assert main([str(engine), "--iterations", "1", "--frame", "320x240"]) == 0
    assert "of a core meanwhile: the figures are worth less" in capsys.readouterr().out


def test_the_work_around_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["host", "--recipe", "amfacpose-r18-256x256", "--people", "1,3", "--seconds", "0.01"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("amfacpose")] == ["1", "3"]
    assert "budget of 0.5 ms a person at 1920x1080" in out
    assert main([*words, "--json", "--frame", "320x240"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cost["conditions"]["people"] for cost in found["host"]] == [1, 3]
    assert found["budget_ms"] == 0.5
    assert all(cost["person_ms"] > 0 for cost in found["host"])


def test_json_has_every_sample_and_what_it_was_measured_on(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(engine), "--iterations", "5", "--people", "2", "--no-spin", "--json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    assert set(measured["series"]) == {"engine", "frame", "crop", "network", "decode", "ahead"}
    assert len(measured["series"]["frame"]["samples_ms"]) == 5
    assert measured["series"]["frame"]["statistics"]["p99"] is None
    assert measured["conditions"]["people"] == 2
    assert measured["conditions"]["spinning"] is False
    assert measured["conditions"]["frame"] == "1920x1080"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.onnx"], "none.onnx"),
        (
            ["comparee", "a.json", "b.json"],
            '"comparee" is no word of amfac-bench, and no file\n  did you mean compare?',
        ),
        (["{engine}", "--threads", "0"], "threads=0"),
        (["{engine}", "--people", "0"], "--people 0"),
        (["{engine}", "--iterations", "0"], "--iterations 0"),
        (["{engine}", "--seconds", "-1"], "--seconds -1"),
        (["{engine}", "--frame", "1x1"], "--frame 1x1"),
        (["{engine}", "--frame", "none.jpg"], "none.jpg"),
        (["{engine}", "--theads", "2"], "--theads is no option; did you mean --threads"),
        (["model.pth"], "model.pth: a checkpoint is not what runs"),
        (["forecast", "--target", "orin-nano"], "a forecast needs a model and a machine"),
        (["compare", "a", "b"], "a: the receipt does not exist"),
        (["{engine}", "--mode", "quick", "--seconds", "3"], "--mode quick and --seconds each say how long"),
        (["{engine}", "--mode", "full", "--iterations", "3"], "--mode full and --iterations each say how long"),
        (["{engine}", "--mode", "slow"], "invalid choice: 'slow'"),
        (["{engine}", "--idle", "-1"], "--idle -1 is not within 0 and 3600"),
        (["{engine}", "--against", "table7"], "invalid choice: 'table7'"),
        (["{engine}", "--evaluation", "none.json"], "--evaluation without --against"),
        (["{engine}", "--against", "table1", "--evaluation", "none.json"], "none.json: the evaluation result does not"),
        (["{engine}", "--against", "table1", "--evaluation", "{engine}"], "no result of amfac-eval"),
        (["{engine}", "--precision", "fp16"], "--precision is for --eager"),
        (["{engine}", "--eager"], "an artefact is not eager PyTorch"),
        (["amfacpose-r18-256x256"], "amfacpose-r18-256x256: a recipe is not what runs"),
        (["{engine}", "--out", "{engine}/below"], "engine.onnx/below: can't be written"),
        (["report", "a"], "a: the receipt does not exist"),
        (["choose"], "the following arguments are required"),
        (["host", "--people", "0"], "--people 0"),
        (["host", "--people", "1,x"], "--people 1,x"),
        (["host", "--recipe", "amfacpose-r19"], 'unknown recipe "amfacpose-r19"'),
        (["peers", "--seconds", "nan"], "--seconds nan"),
        (["peers", "--threads", "5000"], '--threads "5000"'),
        (["peers", "--check", "--threads", "1"], "--check: the bar is for amfacpose-r18-256x256 with 2 threads"),
        (["peers", "--threads", "0"], '--threads "0"'),
        (["peers", "--threads", "two"], '--threads "two"'),
        (["peers", "--rounds", "0"], "--rounds 0"),
        (["peers", "--beside", "openvina"], '--beside "openvina" is no candidate'),
        (["peers", "--quick", "--check", "--beside", "eager"], "--check needs eager torch and the plain export"),
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
def test_peers_of_a_tiny_model(tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["peers", "--recipe", str(tiny_recipe), "--rounds", "1", "--seconds", "0.1", "--threads", "1"]
    words += ["--beside", "eager,plain,rtmlib,yolo", "--environments", "none", "--out", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == "untrained, seed 0"
    (comparison,) = found["comparisons"]
    assert set(comparison["frame_ms"]) == {"eager torch", "plain ONNX Runtime", "ours"}
    assert set(comparison["ratios"]) == {"eager torch", "plain ONNX Runtime"}
    assert all(times[0] > 0 for times in comparison["network_ms"].values())
    assert comparison["bar_met"] is None
    assert comparison["skipped"] == {
        "rtmlib": "none/rtmlib is absent: make peers",
        "YOLO pose": "none/yolo is absent: make peers PEERS=yolo (AGPL, gigabytes)",
    }
    receipts = {receipt.conditions.provider: receipt for receipt in map(read_receipt, tmp_path.iterdir())}
    assert set(receipts) == {"eager torch", "plain ONNX Runtime", "ours"}
    assert set(receipts["ours"].series) == {"frame", "network"}
    assert receipts["ours"].manifest is not None
    assert receipts["eager torch"].conditions.engine.startswith("torch ")
    assert main(["report", *map(str, tmp_path.iterdir()), "--out", str(tmp_path / "peers.html")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "rtmlib"])
def test_peers_in_environments_of_their_own(tiny_recipe: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    environments = Path(__file__).resolve().parents[2] / ".make" / "peers"
    if not (environments / name / "bin" / "python").exists():
        pytest.skip("no environments of peers here: make peers")
    words = ["peers", "--recipe", str(tiny_recipe), "--rounds", "1", "--seconds", "0.1", "--threads", "1", "--json"]
    assert main([*words, "--beside", name, "--environments", str(environments)]) == 0
    (comparison,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert comparison["skipped"] == {}
    assert len(comparison["ratios"]) == 1


def test_the_table_of_peers_and_its_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(recipe: str, threads: list[int], *_: object) -> list[Comparison]:
        frame_ms = {"eager torch": [80.0, 70.0], "plain ONNX Runtime": [60.0, 60.0], "ours": [20.0, 20.0]}
        skipped = {"rtmlib": "no environment: make peers"}
        return [Comparison(recipe, count, frame_ms, frame_ms, busy=0.5, skipped=skipped) for count in threads]

    monkeypatch.setattr("amfac_edge.cli.bench_peers._compared", compared)
    assert main(["peers", "--quick"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("amfacpose")] == [
        "amfacpose-r18-256x256, 1 thread",
        "amfacpose-r18-256x256, 2 threads",
    ]
    rows = [line.split() for line in out.splitlines() if line.startswith(("eager torch", "plain ONNX", "ours "))]
    assert rows[0] == ["eager", "torch", "75.00", "[70.00..80.00]", "75.00", "[70.00..80.00]", "3.75x"]
    assert rows[1][-1] == "3.00x"
    assert rows[2] == ["ours", "20.00", "[20.00..20.00]", "20.00", "[20.00..20.00]"]
    assert out.count("skipped: rtmlib: no environment: make peers") == 1
    assert "other processes used up to 50% of a core" in out
    verdict = "only 3.00x faster than plain ONNX Runtime, not 3.6x"
    assert f"(3.5x eager torch, 3.6x plain ONNX Runtime): {verdict}" in out
    assert main(["peers", "--quick", "--check"]) == 1
    assert verdict in capsys.readouterr().err
