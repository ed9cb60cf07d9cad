"""INT8 from a checkpoint: gated by held-out people before anything is written, typed, described, and refused."""

from __future__ import annotations

import csv
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from amfac_edge.artefact import RTX, BatchRange, read_manifest
from amfac_edge.artefact.trial import read_trial
from amfac_edge.cli.export import main
from amfac_edge.compiler import has_builder
from amfac_edge.declared.calibration_set import load_calibration_set
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError, DeclaredError, GateError
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.pipeline import ExportRequest, export_artefacts, judging, read_source
from amfac_edge.pipeline.engines import Order, build_engine
from amfac_edge.pipeline.int8_ranges import raw_graph
from amfac_edge.pipeline.quantizing import Int8Request
from amfac_edge.quantization import kept_ranges
from amfac_edge.quantization.people import calibration_crops, calibration_people
from amfac_edge.quantization.ranges import calibrated_ranges
from amfac_edge.sessions import open_session
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.pipeline import Exported, Source

SMALL = """
schema = "amfac-calibration/1"
title = "A few drawn people"
count = 16
held_out = 16
seed = 3
[source]
generated = true
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def source(tiny_checkpoint: Path) -> Source:
    return read_source(tiny_checkpoint)


def export(source: Source, out: Path, target: str, small: Path, **budget: Any) -> Exported:  # noqa: ANN401
    """Of the last of `target`'s names."""
    wide: dict[str, Any] = {"max_ap_drop": 100.0, "max_shift_px": 100.0}
    say = budget.pop("say", lambda _: None)
    kind = budget.pop("input_kind", "crops")
    int8 = Int8Request(load_calibration_set(str(small)), **(wide | budget))
    request = ExportRequest(out=out, precision="int8", int8=int8, input_kind=kind, say=say)
    return export_artefacts(source, [load_target(name) for name in target.split(",")], request, stage=lambda _: None)[
        -1
    ]


def test_what_is_written_says_what_it_is(source: Source, tmp_path: Path, small: Path) -> None:
    made = export(source, tmp_path, "rtx-4090", small)
    assert made.path.name == "tiny.rtx-4090.int8.onnx"
    manifest = read_manifest(made.path)
    assert manifest.precision == "int8"
    evidence = manifest.extra["int8"]
    assert manifest.digests["calibration"] == evidence["calibration"]["crops_sha256"]
    assert evidence["calibration"]["people"] == evidence["calibration"]["held_out"] == 16
    assert evidence["mac_share"] > 0.6
    assert evidence["given_back"] == []
    assert evidence["fp32"]["identical"] == 1.0
    operators = [node.op_type for node in onnx.load(made.path).graph.node]
    # A pair for each tensor that goes in, and one DequantizeLinear for the weights of each node.
    weights = operators.count("DequantizeLinear") - operators.count("QuantizeLinear")
    assert weights == len(evidence["nodes"])
    assert {layer.dtype for layer in manifest.layers if layer.op == "Conv"} == {"float16"}
    # The joints of untrained weights are for rounding to decide, and a plan of them is tried with none.
    assert "trial.npz" not in made.beside


def test_its_trial_is_held_against_its_own_graph(source: Source, tmp_path: Path, small: Path) -> None:
    made = export(dataclasses.replace(source, trained=None), tmp_path, "rtx-4090", small)
    (tmp_path / "trial.npz").write_bytes(made.beside["trial.npz"])
    trial = read_trial(tmp_path / "trial.npz")
    twin = rounded_twin(onnx.load(made.path)).SerializeToString()
    keypoints, scores = RawGraph(twin, name="twin").run({"crops": trial.crops[:4]})
    few = dataclasses.replace(
        trial, crops=trial.crops[:4], keypoints=trial.keypoints[:4], scores=trial.scores[:4], clear=trial.clear[:4]
    )
    assert few.judge(keypoints, scores).holds
    swapped, scores = RawGraph(twin, name="twin").run({"crops": np.ascontiguousarray(few.crops[..., ::-1])})
    assert not few.judge(swapped, scores).holds


def test_it_runs_on_the_cpu(source: Source, tmp_path: Path, small: Path) -> None:
    made = export(source, tmp_path, "cpu", small)
    assert {layer.dtype for layer in made.manifest.layers if layer.op == "Conv"} == {"float32"}
    with open_session(made.path) as session:
        keypoints, scores = session.run(np.zeros((2, 64, 48, 3), np.uint8))
    assert keypoints.shape == (2, 17, 2)
    assert np.isfinite(scores).all()
    again = export(source, tmp_path / "again", "cpu", small)
    assert again.path.read_bytes() == made.path.read_bytes()


def test_people_are_asked_once_for_all_graphs(source: Source, tmp_path: Path, small: Path) -> None:
    lines: list[str] = []
    both = export(dataclasses.replace(source, trained=None), tmp_path, "cpu,rtx-4090", small, say=lines.append)
    said = [line for line in lines if line.startswith(("calibrating with 16 people", "are red and blue"))]
    assert len(said) == 2
    alone = export(dataclasses.replace(source, trained=None), tmp_path / "alone", "rtx-4090", small)
    assert both.manifest == alone.manifest


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
@pytest.mark.parametrize("kind", ["crops", "frame"])
def test_tensorrt_rtx_takes_the_graph(source: Source, tmp_path: Path, small: Path, kind: str) -> None:
    made = export(source, tmp_path, "rtx-4090", small, input_kind=kind)
    cards = [load_target("rtx-3060"), load_target("rtx-4090")]
    engine = build_engine(made.path, cards[1], Order(cards=cards, beside=made.beside))
    assert engine.plan is not None
    assert engine.plan.path.name == f"tiny.rtx-3060+rtx-4090.int8{'.frame' if kind == 'frame' else ''}.rtx.plan"
    plan = engine.plan.manifest
    assert plan.input_kind == kind
    assert plan.plan is not None
    assert plan.plan.compute_capabilities == ("8.6", "8.9")
    assert plan.digests["calibration"] == made.manifest.digests["calibration"]


def test_over_the_budget_nodes_go_back_or_nothing_is_written(
    source: Source, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = judging.Judge.of

    def judged(judge: judging.Judge, model: onnx.ModelProto, *, half: bool) -> judging.Judged:
        pairs = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
        return dataclasses.replace(
            honest(judge, model, half=half), ap=judge.reference.ap, shift_px=(pairs / 10, 0.0, 0.0)
        )

    monkeypatch.setattr(judging.Judge, "of", judged)
    with pytest.raises(GateError, match=r"INT8 is over its budget with one node left"):
        export(source, tmp_path / "none", "cpu", small, max_shift_px=0.05)
    report = ["tiny.cpu.int8.curve.csv", "tiny.cpu.int8.search.png", "tiny.cpu.int8.sensitivity.csv"]
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == report
    lines: list[str] = []
    made = export(source, tmp_path / "some", "cpu", small, max_shift_px=0.5, say=lines.append)
    evidence = made.manifest.extra["int8"]
    walked = [line for line in lines if line.endswith(" of the budget")]
    shown = [f"{point['mac_share']:.0%} of the multiply-accumulates in INT8 use {point['loss']:.2f} of the budget"
             for point in evidence["curve"]]  # fmt: skip
    assert sorted(walked) == sorted(shown)
    assert evidence["given_back"]
    assert evidence["holds"]
    assert evidence["int8"]["shift_px_mean_p50_p99"][0] <= 0.5
    assert evidence["curve"][0]["given_back"] == 0
    with (tmp_path / "some" / report[2]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["node"] for row in rows] == [each["node"] for each in evidence["sensitivity"]]
    assert [row["node"] for row in rows if row["ends_as"] == "given back"] == evidence["given_back"]
    with (tmp_path / "some" / report[0]).open(newline="") as stream:
        points = list(csv.DictReader(stream))
    assert [float(point["budget_used"]) for point in points] == [point["loss"] for point in evidence["curve"]]
    monkeypatch.setattr(judging.Judge, "of", honest)
    # What no search made is not left beside an artefact that needed none.
    export(source, tmp_path / "some", "cpu", small)
    assert not set(report) & {path.name for path in (tmp_path / "some").iterdir()}


def test_a_judge_counts_what_is_lost(source: Source, small: Path) -> None:
    """A graph that is the network itself loses nothing; one with other weights moves joints."""
    raw, _ = raw_graph(source, BatchRange(1, 1, 1), 19, for_cpu=True)
    people = calibration_people(load_calibration_set(str(small)), source.recipe)
    judge = judging.Judge(source, people.held_out)
    same = judge.of(raw, half=False)
    assert same.identical == 1.0
    assert judge.ap_loss_interval(same) == [0.0, 0.0]
    assert (same.ap, same.pck) == (judge.reference.ap, judge.reference.pck)
    crops = calibration_crops(people, source.recipe)
    disturbance = judging.Disturbance(source, crops[:4])
    assert disturbance.of(raw) < 1e-8
    for tensor in raw.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    other = judge.of(raw, half=False)
    assert other.identical < 1.0
    assert other.shift_px[0] > 0
    assert disturbance.of(raw) > 0.01


def test_a_graph_of_frames(source: Source, tmp_path: Path, small: Path) -> None:
    made = export(source, tmp_path, "rtx-4090", small, input_kind="frame")
    assert made.path.name == "tiny.rtx-4090.int8.frame.onnx"
    assert made.manifest.input_kind == "frame"
    assert made.manifest.extra["int8"]["holds"]
    operators = [node.op_type for node in onnx.load(made.path).graph.node]
    assert "GridSample" in operators
    assert "QuantizeLinear" in operators


def test_ranges_come_from_the_cache(
    source: Source, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lines: list[str] = []
    words = [str(source.path), "--target", "cpu", "--precision", "int8", "--calib", str(small)]
    wide = ["--max-ap-drop", "100", "--max-shift-px", "100"]
    made = export(source, tmp_path, "cpu", small, say=lines.append)
    assert not [line for line in lines if "cache" in line]
    again = export(source, tmp_path / "again", "cpu", small, say=lines.append)
    assert [line.partition(":")[0] for line in lines if "cache" in line] == ["calibration from cache"]
    assert again.path.read_bytes() == made.path.read_bytes()
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1
    assert main([*words, *wide, "--no-calib-cache", "--out", str(tmp_path / "third")]) == 0
    assert (tmp_path / "third" / made.path.name).read_bytes() == made.path.read_bytes()


def test_people_without_labels_judge_by_shift_alone(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "album").mkdir()
    for number in range(32):
        noise = np.random.default_rng(number).integers(0, 256, size=(60, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "album" / f"{number}.png"), noise)
    table = tmp_path / "mine.toml"
    table.write_text(SMALL.replace("generated = true", 'images = "album"'))
    made = export(source, tmp_path, "cpu", table)
    evidence = made.manifest.extra["int8"]
    assert (evidence["fp32"]["ap"], evidence["int8"]["ap"]) == (None, None)
    assert evidence["int8"]["shift_px_mean_p50_p99"][0] > 0
    with pytest.raises(GateError, match=r"with one node left in it: joints move by"):
        export(source, tmp_path / "none", "cpu", table, max_shift_px=1e-9)
    table = table.rename(tmp_path / "album" / "mine.toml")
    words = [str(source.path), "--target", "cpu", "--precision", "int8", "--calib", str(table), "--max-shift-px", "99"]
    assert main([*words, "--calib-data", str(tmp_path), "--out", str(tmp_path / "moved")]) == 0
    assert "judged by shift alone on 16 held-out people: nobody of the set is labelled" in capsys.readouterr().err


def test_the_judge_sees_a_wrong_calibration(
    source: Source, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges from a tenth of the values that will come; the judge's people are bright."""
    honest = calibrated_ranges

    def narrow(raw: Any, placement: Any, images: Any, **more: Any) -> Any:  # noqa: ANN401
        return honest(raw, placement, (image / 10 for image in images), **more)

    good = export(source, tmp_path, "cpu", small).manifest.extra["int8"]["int8"]
    monkeypatch.setattr(kept_ranges, "calibrated_ranges", narrow)
    bad = export(source, tmp_path, "cpu", small, use_cache=False).manifest.extra["int8"]["int8"]
    assert bad["identical"] < good["identical"]
    assert bad["shift_px_mean_p50_p99"][0] > good["shift_px_mean_p50_p99"][0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = 16", "count = 15", r"count"),
        ("seed = 3", "seed = -1", r"seed"),
        ("calibration/1", "calibration/2", r"schema"),
        ("seed = 3", "seed = 3\nmore = 1", r"more"),
    ],
)
def test_faulty_sets(small: Path, old: str, new: str, message: str) -> None:
    small.write_text(SMALL.replace(old, new))
    with pytest.raises(DeclaredError, match=message):
        load_calibration_set(str(small))


def test_what_is_missing_is_said(
    source: Source, tmp_path: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(source.path), "--target", "cpu", "--out", str(tmp_path / "out")]
    for more, message in (
        (["--precision", "int8"], "never with noise"),
        (["--precision", "int8", "--calib", "generated-peeple"], "generated-people"),
        (["--calib", "generated-people"], "--calib generated-people is for INT8"),
        (["--precision", "int8", "--calib", str(small), "--max-ap-drop", "0"], "holds nothing"),
        (["--precision", "int8", "--calib", str(small), "--keep", "stem"], 'no quantised node "stem"'),
        (["--precision", "int8", "--calib", str(small), "--opset", "17"], "INT8 needs opset 19"),
    ):
        assert main([*words, *more]) == 2, more
        assert message in capsys.readouterr().err
    small.write_text(SMALL.replace("generated = true", 'annotations = "none.json"'))
    with pytest.raises(AmfacError, match=r"none\.json"):
        export(source, tmp_path, "cpu", small)
    assert not list(tmp_path.glob("**/*.onnx"))
