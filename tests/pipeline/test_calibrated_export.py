"""A checkpoint's score calibration is in the artefact, in its facts and in the parity; without one nothing changes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.accuracy import predictor_from_onnx
from amfac_edge.artefact import BatchRange, manifest_from_metadata, read_manifest
from amfac_edge.artefact.manifest_reading import manifest_from_json
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, ModelFileError
from amfac_edge.graph import parity
from amfac_edge.graph.contract import crop_graph
from amfac_edge.keypoints import ScoreCalibration, SimccCode
from amfac_edge.networks import copy_checkpoint
from amfac_edge.pipeline import Exported, ExportRequest, export_artefacts, preparing, read_source
from amfac_edge.pipeline.evaluating import predictor_from_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CALIBRATION = ScoreCalibration(0.3, 2.5, 6.0, "", {"data": "made"})
RECIPE: Recipe = dataclasses.replace(load_recipe("amfacpose-r18-128x128"), temperature=1.0)


def _export(checkpoint: Path, out: Path, **fields: Any) -> Exported:  # noqa: ANN401 - of ExportRequest
    request = ExportRequest(out=out, raw_logits=True, **fields)
    return export_artefacts(read_source(checkpoint), [load_target("cpu")], request, stage=lambda _line: None)[0]


@pytest.fixture(scope="module")
def plain(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return _export(tiny_checkpoint, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def calibrated(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("calibrated")
    copy_checkpoint(tiny_checkpoint, folder / "tiny.pth", {"score_calibration": CALIBRATION.as_json()})
    return _export(folder / "tiny.pth", folder)


def test_a_raw_twin_takes_a_recipe_that_fits_it(calibrated: Exported) -> None:
    assert calibrated.raw_path is not None
    twin = read_source(calibrated.raw_path)
    same = dataclasses.replace(twin.recipe, name="renamed")
    warmer = dataclasses.replace(same, temperature=3.0)  # of the plain score; the calibrated one has its own
    brighter = dataclasses.replace(same, mean=(0.0, 0.0, 0.0))
    with pytest.MonkeyPatch.context() as patch:
        for stated, kept in ((same, True), (warmer, True), (brighter, False)):
            patch.setattr("amfac_edge.pipeline.sources.load_recipe", lambda _, stated=stated: stated)
            source = read_source(calibrated.raw_path, recipe="mine.toml")
            assert (source.recipe, source.score_calibration) == (stated, twin.score_calibration if kept else None)
            assert source.remarks[0] == "recipe renamed, as given; the file says tiny"
    assert twin.score_calibration is not None
    for name in ("amfacpose-r18-128x128", "eba-prnetcc-r18-128x128-crowdpose"):
        with pytest.raises(ModelFileError, match=f"height, width, joints and bins are .*, recipe {name} says"):
            read_source(calibrated.raw_path, recipe=name)


def _run(crops: NDArray[np.uint8], recipe: Recipe, calibration: ScoreCalibration | None) -> list[NDArray[np.float32]]:
    """The contract around a network whose logits are the brightness of its columns and rows, three planes as joints."""
    size = (recipe.crop.height, recipe.crop.width)
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("ReduceMean", ["image"], ["columns"], axes=[2], keepdims=0),
            node("ReduceMean", ["image"], ["rows"], axes=[3], keepdims=0),
            node("Sub", ["columns", "far"], ["dark_columns"]),
            node("Sub", ["rows", "far"], ["dark_rows"]),
            node("Concat", ["columns", "dark_columns"], ["simcc_x"], axis=2),
            node("Concat", ["rows", "dark_rows"], ["simcc_y"], axis=2),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *size])],
        [
            helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, ["N", 3, 2 * size[1]]),
            helper.make_tensor_value_info("simcc_y", TensorProto.FLOAT, ["N", 3, 2 * size[0]]),
        ],
        [numpy_helper.from_array(np.array(9, np.float32), "far")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    made = crop_graph(model, recipe, calibration)
    onnx.checker.check_model(made, full_check=True)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"crops": crops})


def _crosses() -> NDArray[np.uint8]:
    """A row and a column on black, from bright to invisible: scores from nearly certain to nearly flat."""
    crops = np.zeros((40, RECIPE.crop.height, RECIPE.crop.width, 3), np.uint8)
    for index, crop in enumerate(crops):
        crop[30 + index] = crop[:, 90 - index] = 6 * (39 - index)
    return crops


@pytest.mark.parametrize(
    "calibration",
    [
        CALIBRATION,
        ScoreCalibration(2.0, 0.5, -1.0),
        ScoreCalibration(1.0, 1.0, 0.0),
        ScoreCalibration(0.1, 4.0, -2.0),
    ],
)
def test_the_graphs_score_is_the_references(calibration: ScoreCalibration) -> None:
    keypoints, scores = _run(_crosses(), RECIPE, calibration)
    plain = _run(_crosses(), dataclasses.replace(RECIPE, temperature=calibration.temperature), None)
    assert np.ptp(plain[1]) > 0.01
    assert (keypoints == plain[0]).all()
    assert scores.dtype == np.float32
    assert np.abs(scores - calibration.applied(plain[1])).max() <= 1e-6
    assert np.abs(scores - plain[1]).max() > 0.01 or calibration.slope == 1


def test_the_graph_and_the_decoder_agree() -> None:
    crops = _crosses()
    images = parity.normalised(crops, RECIPE).astype(np.float64)
    x, y = (
        np.concatenate([each, each - 9], axis=2).astype(np.float32)
        for each in (images.mean(axis=2), images.mean(axis=3))
    )
    decoded = SimccCode.of(RECIPE).decode(x, y, RECIPE.temperature, CALIBRATION)
    keypoints, scores = _run(crops, RECIPE, CALIBRATION)
    assert (keypoints == decoded[0]).all()
    # Logits up to 3 in float32 are off by some 1e-6; a / (4 T) = 2 of that, with room for both axes' rounding.
    assert np.abs(scores - decoded[1]).max() <= 4e-6


def test_the_artefact_has_the_checkpoints_score(calibrated: Exported, plain: Exported) -> None:
    crops = parity.generated_crops(calibrated.manifest.recipe, 5, seed=7)
    assert calibrated.raw_path is not None
    results = {}
    for name, path in {"artefact": calibrated.path, "raw": calibrated.raw_path, "plain": plain.path}.items():
        with predictor_from_onnx(path) as predictor:
            results[name] = [predictor.run(crop[None]) for crop in crops]
    scores = {name: np.concatenate([each[1] for each in found]) for name, found in results.items()}
    assert np.abs(scores["artefact"] - scores["raw"]).max() <= 1e-6
    assert np.abs(scores["artefact"] - scores["plain"]).max() > 0.01


def test_the_facts_say_so(calibrated: Exported, plain: Exported) -> None:
    for path in (calibrated.path, calibrated.raw_path):
        assert path is not None
        assert read_manifest(path).score_calibration == CALIBRATION
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        inside = manifest_from_metadata(metadata, where="")
        assert inside is not None
        assert inside.score_calibration == CALIBRATION
        assert metadata["amfac.score"] == (
            "min over the x and y axes of max softmax(logits / 0.3), "
            "then sigmoid(2.5 * log(s / (1 - s)) + 6), s kept 0.0001 away from 0 and 1"
        )
    assert plain.manifest.score_calibration is None
    assert "score_calibration" not in plain.manifest.as_json()
    assert not [key for key in plain.manifest.metadata() if "calibration" in key]


def test_the_raw_twin_gives_logits_as_before(calibrated: Exported, plain: Exported) -> None:
    assert calibrated.raw_path is not None
    assert plain.raw_path is not None
    ours, theirs = (onnx.load(path).graph for path in (calibrated.raw_path, plain.raw_path))
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def test_a_raw_twin_is_exported_with_its_calibration(calibrated: Exported, tmp_path: Path) -> None:
    assert calibrated.raw_path is not None
    again = _export(calibrated.raw_path, tmp_path, batch=BatchRange(1, 1, 1))
    assert again.manifest.score_calibration == CALIBRATION


def test_parity_covers_it(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_checkpoint(tiny_checkpoint, tmp_path / "tiny.pth", {"score_calibration": CALIBRATION.as_json()})
    monkeypatch.setattr(preparing, "crop_graph", lambda raw, recipe, _calibration: crop_graph(raw, recipe))
    with pytest.raises(GateError, match=r"scores by \d"):
        _export(tmp_path / "tiny.pth", tmp_path)
    assert not list(tmp_path.glob("*.onnx"))


def test_a_hostile_manifest_is_refused(calibrated: Exported) -> None:
    fields = calibrated.manifest.as_json()
    fields["score_calibration"] = {**CALIBRATION.as_json(), "slope": -1}
    with pytest.raises(ModelFileError, match=r"score_calibration: 1 fault:\n  slope: -1 is not within"):
        manifest_from_json(fields, where="m.json")
    metadata = {**calibrated.manifest.metadata(), "amfac.score_calibration": "[" * 100_000}
    with pytest.raises(ModelFileError, match=r"metadata amfac\.recipe is not JSON"):
        manifest_from_metadata(metadata, where="m.onnx")


def test_the_checkpoint_itself_is_scored_alike(tiny_checkpoint: Path, calibrated: Exported, tmp_path: Path) -> None:
    copy_checkpoint(tiny_checkpoint, tmp_path / "tiny.pth", {"score_calibration": CALIBRATION.as_json()})
    crops = parity.generated_crops(calibrated.manifest.recipe, 3, seed=5)
    _, scores = predictor_from_checkpoint(tmp_path / "tiny.pth").run(crops)
    with predictor_from_onnx(calibrated.path) as predictor:
        expected = np.concatenate([predictor.run(crop[None])[1] for crop in crops])
    # The engine's own rounding of a whole network, times a / (4 T) = 2.
    assert np.abs(scores - expected).max() <= 1e-4
