"""A checkpoint becomes an artefact that takes whole frames, and finds the joints that the crop artefact finds."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from amfac_edge.accuracy import predictor_from_onnx
from amfac_edge.artefact import RTX, BatchRange, read_manifest
from amfac_edge.cli.export import main
from amfac_edge.compiler import BuiltPlan, forms, has_builder, profile_of
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, InputError, ModelFileError
from amfac_edge.graph import parity
from amfac_edge.keypoints import crop_affines, exact_crop
from amfac_edge.performance.measuring import measure_artefact
from amfac_edge.performance.timing import Limits
from amfac_edge.pipeline import Exported, ExportRequest, Source, export_artefacts, frame_parity, read_source
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import FrameSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOXES = [[20.0, 30.0, 90.0, 150.0], [-30.0, -20.0, 60.0, 90.0], [100.0, 20.0, 260.0, 230.0]]


def export(source: Source, out: Path, target: str = "cpu", **fields: Any) -> Exported:  # noqa: ANN401 - of ExportRequest
    request = ExportRequest(out=out, **fields)
    return export_artefacts(source, [load_target(target)], request, stage=lambda _line: None)[0]


@pytest.fixture(scope="module")
def source(tiny_checkpoint: Path) -> Source:
    return read_source(tiny_checkpoint)


@pytest.fixture(scope="module", params=["1-2", "2"])
def exported(request: pytest.FixtureRequest, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    batch = BatchRange.parse(request.param)
    return export(source, tmp_path_factory.mktemp("out"), input_kind="frame", batch=batch)


@pytest.fixture(scope="module")
def crops_form(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(source, tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (240, 250, 3), np.uint8)


def test_names_and_tensors_are_the_contract(exported: Exported) -> None:
    manifest = read_manifest(exported.path)
    assert exported.path.name.endswith(".frame.onnx")
    assert manifest.input_kind == "frame"
    onnx.checker.check_model(onnx.load(exported.path), full_check=True)
    people = manifest.batch.minimum if manifest.batch.is_fixed else "N"
    shapes = {tensor.name: (tensor.dtype, tensor.shape) for tensor in (*manifest.inputs, *manifest.outputs)}
    assert shapes == {
        "frame": ("uint8", ("frame_height", "frame_width", 3)),
        "affines": ("float32", (people, 2, 3)),
        "keypoints": ("float32", (people, 17, 2)),
        "scores": ("float32", (people, 17)),
    }


def test_the_manifest_has_the_evidence(exported: Exported) -> None:
    parity = read_manifest(exported.path).parity
    assert parity["moved"] == 0
    found = parity["sampling"]
    assert found["people"] == 8
    assert 0.5 <= found["level_error"] <= found["level_budget"] < 0.7
    assert found["joints_as_exact_crops"] <= found["joints"] == 8 * 17


def test_the_estimator_serves_both_kinds_alike(
    exported: Exported, crops_form: Exported, frame: NDArray[np.uint8]
) -> None:
    """A box of which one crop pixel is one frame pixel: both cut out the very same crop."""
    crop = exported.manifest.recipe.crop
    half = np.array([crop.width, crop.height]) / crop.padding / 2
    places = np.array([(60, 70), (120, 100), (0, 0), (249, 239)]) + 0.5
    boxes = np.concatenate([places - half, places + half], axis=1)
    affines = crop_affines(boxes, crop)
    np.testing.assert_allclose(affines, np.rint(affines), atol=1e-9)
    with PoseEstimator(exported.path) as whole, PoseEstimator(crops_form.path) as cropped:
        found, expected = whole(frame, boxes), cropped(frame, boxes)
    # Float32 places in a frame of 250 pixels, five roundings.
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=5 * 500 * 2.0**-24)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_frames_of_every_layout_give_the_same(exported: Exported, frame: NDArray[np.uint8]) -> None:
    padded = np.concatenate([frame, np.full((*frame.shape[:2], 1), 77, np.uint8)], axis=2)
    strided = np.repeat(frame, 2, axis=1)[:, ::2]
    locked = frame.copy()
    locked.flags.writeable = False
    grey = frame[..., 0]
    with PoseEstimator(exported.path) as estimator:
        expected = estimator(frame, BOXES)
        for other in (padded, strided, locked, np.asfortranarray(frame)):
            np.testing.assert_array_equal(estimator(other, BOXES).keypoints, expected.keypoints)
        three = estimator(np.stack([grey] * 3, axis=2), BOXES)
        np.testing.assert_array_equal(estimator(grey, BOXES).keypoints, three.keypoints)
        assert len(estimator(frame, None)) == 0


def test_crops_for_an_artefact_of_frames_are_refused(exported: Exported) -> None:
    crop = exported.manifest.recipe.crop
    with (
        open_session(exported.path) as session,
        pytest.raises(InputError, match=r"it takes run_frame\(frame, affines\) and was given crops"),
    ):
        session.run(np.zeros((1, crop.height, crop.width, 3), np.uint8))


@pytest.mark.parametrize(
    ("frame", "affines", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), np.zeros((1, 2, 3), np.float32), r"the frame is uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((1, 2, 3), np.float32), r"the frame is float32"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((1, 2, 3)), r"the affines are float64 \(1, 2, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((0, 2, 3), np.float32), r"the affines are float32 \(0, 2, 3\)"),
    ],
)
def test_other_arrays_are_refused(exported: Exported, frame: NDArray[Any], affines: NDArray[Any], message: str) -> None:
    with open_session(exported.path) as session:
        assert isinstance(session, FrameSession)
        with pytest.raises(InputError, match=message):
            session.run_frame(frame, affines)


def test_an_evaluation_refuses_it(exported: Exported) -> None:
    with (
        pytest.raises(ModelFileError, match=r"takes whole frames, and an evaluation gives it crops"),
        predictor_from_onnx(exported.path),
    ):
        pass


def test_the_bench_measures_it(exported: Exported, frame: NDArray[np.uint8]) -> None:
    limits = Limits(iterations=2, warmup=1)
    found = measure_artefact(exported.path, frame=frame, people=3, threads=1, limits=limits)
    assert {name: len(one.samples_ms) for name, one in found.series.items()} == dict.fromkeys(found.series, 2)


def test_the_profile_has_the_frames_range(source: Source, tmp_path: Path) -> None:
    found = export(source, tmp_path, "rtx-3060", input_kind="frame", batch=BatchRange(1, 2, 4), precision="fp32")
    assert profile_of(found.manifest) == {
        "frame": ((64, 64, 3), (1080, 1920, 3), (2160, 3840, 3)),
        "affines": ((1, 2, 3), (2, 2, 3), (4, 2, 3)),
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gate_holds_in_both_precisions(source: Source, tmp_path: Path, precision: str) -> None:
    found = export(source, tmp_path, "rtx-3060", input_kind="frame", precision=precision)
    types = {value.name: value.type.tensor_type.elem_type for value in onnx.load(found.path).graph.input}
    assert types == {"frame": onnx.TensorProto.UINT8, "affines": onnx.TensorProto.FLOAT}
    assert found.manifest.parity["sampling"]["level_error"] < 0.7


def test_crops_that_are_off_are_refused(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(frame: NDArray[np.uint8], affine: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
        return exact_crop(frame, affine + np.array([[0, 0, 0.01], [0, 0, 0]]), height, width)

    monkeypatch.setattr(frame_parity, "exact_crop", shifted)
    with pytest.raises(GateError, match=r"the crops that the graph cuts out are off by \d+\.\d\d of 255 levels"):
        export(source, tmp_path, input_kind="frame")
    assert not list(tmp_path.iterdir())


def test_no_number_is_no_agreement() -> None:
    found = frame_parity.Sampling(1, 0.5, 0.6, 0.0, 1, 1, 1, 0.0, "5")
    assert found.holds
    assert not dataclasses.replace(found, level_error=float("nan")).holds


def test_the_command_says_which_input_it_takes(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_checkpoint), "--target", "cpu", "--input", "frame", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["artefacts"][0]["input_kind"] == "frame"
    assert "crops cut out in the graph: within 0.5" in said.err


@pytest.mark.parametrize("wrong", [False, True])
def test_a_board_tries_a_plan_of_frames_with_the_crops_of_its_kit(
    source: Source, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wrong: bool
) -> None:
    """Through a stand-in for trtexec that runs what lies behind 64 bytes of head."""
    program, plan = tmp_path / "trtexec", tmp_path / "some.plan"
    stand_in = Path(__file__).parents[1] / "sessions" / "pretend_trtexec.py"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    program.chmod(0o755)
    plan.write_bytes(b"ftrt".ljust(64, b"\0") + exported.path.read_bytes())
    monkeypatch.setenv("PRETEND_WRONG", "some" if wrong else "never")
    crops = parity.generated_crops(source.recipe, 5, seed=1)
    logits = source.model.logits(parity.normalised(crops, source.recipe))
    trial = parity.trial_of(source.recipe, crops, logits, parity.budget_for("fp16", source.recipe))
    attempt = forms._Attempt("typed", BuiltPlan(plan, exported.manifest, ()))
    judgement = forms._outcome(attempt, trial, program).judgement
    assert judgement is not None
    assert judgement.joints > 0
    assert judgement.holds is not wrong
    assert (judgement.shift_px[2] < 1e-3) is not wrong


@pytest.mark.slow
@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_plans_are_built_for_both_cards(tiny_checkpoint: Path, tmp_path: Path, precision: str) -> None:
    words = [str(tiny_checkpoint), "--target", "rtx-3060,rtx-4090", "--input", "frame", "--precision", precision]
    assert main([*words, "--out", str(tmp_path)]) == 0
    for card in ("rtx-3060", "rtx-4090"):
        manifest = read_manifest(tmp_path / f"tiny.{card}.{precision}.frame.rtx.plan")
        assert manifest.input_kind == "frame"
        assert manifest.plan is not None
        assert {name: shapes.maximum for name, shapes in manifest.plan.profile.items()} == {
            "frame": (2160, 3840, 3),
            "affines": (4, 2, 3),
        }
