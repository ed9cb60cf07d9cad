"""amfac-bench keeps receipts, and compares them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli.bench import main
from amfac_edge.performance import read_receipt

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

FEW = ["--iterations", "70", "--frame", "320x240", "--threads", "1", "--idle", "0"]


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "engine.onnx", trained=False)
    return path


def kept(engine: Path, folder: Path, *words: str) -> Path:
    """The one receipt that a run wrote to a new folder."""
    assert main([str(engine), *FEW, "--out", str(folder), *words]) == 0
    (path,) = folder.iterdir()
    return path


def test_a_run_is_kept_with_all_that_it_was_taken_on(engine: Path, tmp_path: Path) -> None:
    path = kept(engine, tmp_path / "receipts")
    receipt = read_receipt(path)
    assert path.name == f"engine.onnx.{receipt.taken.replace('-', '').replace(':', '')}.receipt.json"
    assert receipt.command[:3] == ("amfac-bench", "run", str(engine))
    assert set(receipt.series) == {"engine", "frame", "crop", "network", "decode", "ahead"}
    assert len(receipt.series["frame"].samples_ms) == 70
    assert receipt.trained is False
    assert receipt.manifest is not None
    assert receipt.manifest["digests"]["artefact"] == receipt.conditions.sha256
    assert (receipt.switches["iterations"], receipt.switches["input"], receipt.switches["wait"]) == (
        70,
        "crops",
        "block",
    )
    assert receipt.machine["processor"]["name"] == receipt.conditions.processor
    assert receipt.before["memory"]["total_mib"] > 0
    assert set(receipt.findings) >= {"load_ms", "first_ms", "busy", "throttling", "drift_percent", "overhead_us"}
    # Twenty microseconds a sample are allowed beside it.
    assert receipt.findings["overhead_us"] > 0


def test_json_says_where_the_receipt_is(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kept(engine, tmp_path / "receipts", "--json")
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    assert measured["receipt"] == str(path)
    assert measured["trained"] is False


def test_a_file_that_fails_leaves_the_others_results(
    engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(engine.read_bytes()[:100])
    words = [str(engine), str(broken), str(engine), *FEW]
    assert main([*words, "--json"]) == 2
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert len(found["measured"]) == 2
    (failed,) = found["failed"]
    assert (failed["file"], failed["error"]) == (str(broken), "ModelFileError")
    assert "broken.onnx: " in err
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out.count("measured on") == 2
    assert "broken.onnx: " in err
    # What isn't there is told before anything is measured.
    assert main([str(tmp_path / "none.onnx"), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, "none.onnx: no such file" in err) == ("", True)


def test_two_runs_are_compared(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = kept(engine, tmp_path / "a"), kept(engine, tmp_path / "b")
    capsys.readouterr()
    assert main(["compare", str(first), str(second), "--engine", str(engine)]) == 0
    out = capsys.readouterr().out
    assert "differs: nothing that the receipts know of" in out
    assert out.splitlines()[-6].startswith("frame")
    assert main(["compare", str(first), str(second), "--boundary", "engine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["comparable"] is True
    (ratio,) = found["ratios"]
    assert ratio["low"] < ratio["ratio"] < ratio["high"]


def test_what_is_not_comparable_ends_with_1(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = kept(engine, tmp_path / "a"), kept(engine, tmp_path / "b", "--people", "3")
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 1
    out, err = capsys.readouterr()
    assert "not comparable: people 1 and 3" in out
    assert "nothing that the receipts know of" not in out
    assert "as fast" not in out
    assert "the two receipts are not comparable" in err
    assert main(["compare", str(first), str(second), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["comparable"], found["ratios"]) == (False, [])


def test_wrong_receipts(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = kept(engine, tmp_path / "a")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another")
    for words, message in (
        ([receipt, engine], "engine.onnx: no whole JSON"),
        ([receipt, receipt, "--boundary", "frames"], 'neither receipt has a boundary "frames"'),
        ([receipt, receipt, "--engine", other], "it was taken of another engine: engine.onnx"),
        ([receipt, receipt, *["--engine", engine] * 3], "--engine was given 3 times"),
    ):
        assert main(["compare", *map(str, words)]) == 2
        assert message in capsys.readouterr().err


def test_table_4_is_met_by_nothing_here(engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(engine), *FEW, "--against", "table4"]) == 0
    out = capsys.readouterr().out
    assert "met on 0 of 20; only measured cells count" in out
    assert "eager FP32 PyTorch is an inference" in out
    assert main([str(engine), *FEW, "--against", "table4", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["against"]
    assert found["met"] == {"engines": {"measured_and_met": 0, "of": 20}}
    assert len(found["cells"]) == 20
    assert not any(cell["measured"] for cell in found["cells"])


@pytest.mark.slow
def test_eager_pytorch_is_a_boundary_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--iterations", "2", "--frame", "320x240", "--threads", "1", "--device", "cpu", "--out", str(tmp_path)]
    assert main(["amfacpose-r18-128x128", "--eager", *words, "--against", "table2"]) == 0
    out = capsys.readouterr().out
    assert "amfacpose-r18-128x128 (seed 0)  (amfacpose-r18-128x128, fp32, untrained weights)" in out
    (path,) = tmp_path.iterdir()
    receipt = read_receipt(path)
    assert set(receipt.series) == {"eager", "eager_frame"}
    assert receipt.conditions.engine.startswith("torch ")
    assert receipt.conditions.engine.endswith(", eager")
    assert (receipt.conditions.provider, receipt.manifest, receipt.trained) == ("cpu", None, False)


@pytest.mark.slow
def test_eager_rows_are_counted_and_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"AP": 0.72, "details": {"model": "amfacpose-r18-256x256"}}))
    words = ["--iterations", "1", "--frame", "320x240", "--precision", "fp32", "--device", "cpu", "--json"]
    assert main(["amfacpose-r18-256x256", "--eager", *words, "--against", "table2", "--evaluation", str(result)]) == 0
    cells = {cell["column"]: cell for cell in json.loads(capsys.readouterr().out)["against"]["cells"]}
    assert (cells["ap"]["ours"], cells["ap"]["how"]) == (72.0, "evaluated")
    assert round(cells["params_m"]["ours"], 1) == cells["params_m"]["published"]
    assert round(cells["gflops"]["ours"], 1) == cells["gflops"]["published"]


@pytest.mark.slow
def test_eager_checkpoints_that_cant_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.pth"
    noise.write_bytes(b"\x80\x04" + bytes(100))
    assert main([str(noise), "--eager", "--iterations", "1", "--device", "cpu"]) == 2
    assert "noise.pth" in capsys.readouterr().err
