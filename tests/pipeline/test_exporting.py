"""A checkpoint becomes an artefact that computes the same, or nothing is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from amfac_edge.accuracy import predictor_from_onnx
from amfac_edge.artefact import BatchRange, manifest_from_metadata, manifest_path, read_manifest
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, InputError, ModelFileError, OutputError
from amfac_edge.files import sha256_of
from amfac_edge.graph import halving, parity
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.graph.passes import fastest_on_cpu
from amfac_edge.keypoints import SimccCode
from amfac_edge.pipeline import (
    STAGES,
    Exported,
    ExportRequest,
    Source,
    export_artefacts,
    preparing,
    read_source,
    stage_count,
)
from amfac_edge.sessions import open_session
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path


def export(source: Source, out: Path, target: str = "cpu", **fields: Any) -> Exported:  # noqa: ANN401 - of ExportRequest
    request = ExportRequest(out=out, **fields)
    return export_artefacts(source, [load_target(target)], request, stage=lambda _line: None)[0]


@pytest.fixture(scope="module")
def source(tiny_checkpoint: Path) -> Source:
    return read_source(tiny_checkpoint)


@pytest.fixture(scope="module")
def exported(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(source, tmp_path_factory.mktemp("out"), raw_logits=True)


def test_the_artefact_finds_the_networks_joints(source: Source, exported: Exported) -> None:
    crops = parity.generated_crops(source.recipe, 5, seed=7)
    logits = source.model.logits(parity.normalised(crops, source.recipe))
    expected, expected_scores = SimccCode.of(source.recipe).decode(*logits, source.recipe.temperature)
    with open_session(exported.path) as session:
        keypoints, scores = session.run(crops)
    # Float32 coordinates are exact halves and quarters of a pixel; scores pass through an exponential.
    np.testing.assert_allclose(keypoints, expected, atol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_the_raw_twin_gives_the_logits(source: Source, exported: Exported) -> None:
    assert exported.raw_path is not None
    images = parity.normalised(parity.generated_crops(source.recipe, 1), source.recipe)
    x, y = RawGraph(exported.raw_path.read_bytes(), name="raw").run({"image": images})
    for found, expected in zip((x, y), source.model.logits(images), strict=True):
        assert np.abs(found - expected).max() <= parity.LOGIT_BUDGET * np.ptp(expected)
    assert read_manifest(exported.raw_path).input_kind == "raw"


def test_names_tensors_and_versions_are_the_contract(exported: Exported) -> None:
    assert exported.path.name == "tiny.cpu.fp32.onnx"
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [19]
    assert model.ir_version == 10
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["crops", "keypoints", "scores"]
    shapes = {
        tensor.name: (tensor.dtype, tensor.shape) for tensor in (*exported.manifest.inputs, *exported.manifest.outputs)
    }
    assert shapes == {
        "crops": ("uint8", (1, 64, 48, 3)),
        "keypoints": ("float32", (1, 17, 2)),
        "scores": ("float32", (1, 17)),
    }


def test_the_cpu_form_has_no_slow_mish(exported: Exported) -> None:
    operators = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert operators.isdisjoint({"Mish", "Softplus", "Tanh", "ReduceMean", "BatchNormalization", "Resize"})


def test_the_manifest_tells_the_whole_story(source: Source, exported: Exported) -> None:
    manifest = read_manifest(exported.path)
    assert manifest == exported.manifest
    assert manifest.digests == {"artefact": sha256_of(exported.path), "checkpoint": sha256_of(source.path)}
    assert manifest.trained is False
    assert manifest.recipe == source.recipe
    assert manifest.parity["moved"] == 0
    assert manifest.parity["logit_error"] <= manifest.parity["logit_budget"]
    assert sum(layer.macs for layer in manifest.layers) > 0
    assert {"amfac-edge", "torch", "onnx", "onnxsim", "onnxruntime"} <= manifest.versions.keys()
    assert manifest.extra["simplification"]["applied"]
    inside = manifest_from_metadata(
        {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}, where="inside"
    )
    assert inside is not None
    assert (inside.recipe, inside.target, inside.trained) == (manifest.recipe, "cpu", False)


def test_a_second_export_is_the_same_file(source: Source, exported: Exported, tmp_path: Path) -> None:
    assert export(source, tmp_path).manifest.digests == exported.manifest.digests


@pytest.mark.parametrize(("batch", "name"), [("3", "tiny.cpu.fp32.b3.onnx"), ("1-4", "tiny.cpu.fp32.b1-4.onnx")])
def test_other_batches_take_any_number_of_people(source: Source, tmp_path: Path, batch: str, name: str) -> None:
    made = export(source, tmp_path, batch=BatchRange.parse(batch))
    assert made.path.name == name
    crops = parity.generated_crops(source.recipe, 5)
    expected, _ = SimccCode.of(source.recipe).decode(
        *source.model.logits(parity.normalised(crops, source.recipe)), source.recipe.temperature
    )
    with open_session(made.path) as session:
        for count in (1, 2, 5):
            np.testing.assert_allclose(session.run(crops[:count])[0], expected[:count], atol=1e-4)


@pytest.mark.parametrize(("opset", "mish"), [(19, "Mish"), (17, "Softplus")])
def test_a_board_gets_tensorrts_form(source: Source, tmp_path: Path, opset: int, mish: str) -> None:
    made = export(source, tmp_path, "orin-nano", opset=opset)
    assert made.path.name == "tiny.orin-nano-8.fp16.onnx"
    assert made.manifest.extra["opset"] == opset
    assert made.manifest.inputs[0].shape == ("N", 64, 48, 3)
    assert mish in {node.op_type for node in onnx.load(made.path).graph.node}


def test_a_gpu_gets_float16_that_is_counted_and_rounded(source: Source, tmp_path: Path) -> None:
    made = export(source, tmp_path, "orin-nano", raw_logits=True)
    manifest = made.manifest
    assert manifest.precision == "fp16"
    # All but the last linear layer of each head computes in float16.
    whole = sum(layer.macs for layer in manifest.layers)
    bins = source.recipe.bins[0] + source.recipe.bins[1]
    heads = [layer for layer in manifest.layers if layer.dtype == "float32" and layer.macs]
    assert len(heads) == 2
    half = manifest.extra["half"]
    assert half["mac_share"] == pytest.approx(1 - sum(layer.macs for layer in heads) / whole)
    assert half["mac_share"] > 0.9
    assert {layer.name for layer in heads} <= set(half["islands"])
    assert sum(layer.macs for layer in heads) % bins == 0
    assert half["kept_for_range"] == {}
    assert 0 < half["largest_value"] < 65504 / 4
    assert manifest.parity["logit_budget"] == 2.5e-2  # untrained
    assert "every float16 result rounded" in manifest.parity["engine"]
    # Rounding shows: no float32 graph is that far from the network.
    assert manifest.parity["logit_error"] > parity.LOGIT_BUDGET
    assert made.raw_path is not None
    with pytest.raises(ModelFileError, match="in float16 already"):
        read_source(made.raw_path)


def test_what_is_scored_of_float16_is_float16(source: Source, tmp_path: Path) -> None:
    made = export(source, tmp_path, "orin-nano", raw_logits=True, batch=BatchRange.parse("2"))
    crops = parity.generated_crops(source.recipe, 5)
    with open_session(made.path) as session:
        flattered = session.run(crops)
    rounded = rounded_twin(onnx.load(made.path))
    fastest_on_cpu(rounded)
    twin = RawGraph(rounded.SerializeToString(), name="twin")
    halves = [twin.run({"crops": crops[start : start + 2]}) for start in (0, 2)]
    expected = [np.concatenate(both) for both in zip(*halves, strict=True)]
    with predictor_from_onnx(made.path) as predictor:
        found = predictor.run(crops)
        assert predictor.recipe == source.recipe
    np.testing.assert_array_equal(found[0][:4], expected[0])
    np.testing.assert_array_equal(found[1][:4], expected[1])
    assert found[0].shape == (5, 17, 2)
    assert np.any(found[1] != flattered[1])
    with pytest.raises(ModelFileError, match="gives joints, no logits"), predictor_from_onnx(made.path, flip=True):
        pass
    assert made.raw_path is not None
    with predictor_from_onnx(made.raw_path, flip=True) as flipping:
        assert flipping.run(crops)[0].shape == (5, 17, 2)


def test_float32_for_a_gpu_when_asked(source: Source, tmp_path: Path) -> None:
    made = export(source, tmp_path, "rtx-4090", precision="fp32")
    assert made.path.name == "tiny.rtx-4090.fp32.onnx"
    assert {layer.dtype for layer in made.manifest.layers if layer.macs} == {"float32"}
    assert "half" not in made.manifest.extra


def test_float16_that_is_wrong_is_not_written(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crippled(raw: onnx.ModelProto, images: np.ndarray) -> halving.Halved:
        half = halving.halved(raw, images)
        first = next(tensor for tensor in half.model.graph.initializer if len(tensor.dims) == 4)
        values = onnx.numpy_helper.to_array(first) * np.float16(1.05)
        first.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), first.name))
        return half

    monkeypatch.setattr(preparing, "halved", crippled)
    with pytest.raises(GateError, match=r"tiny\.orin-nano-8\.fp16\.onnx: the artefact differs"):
        export(source, tmp_path, "orin-nano")
    assert list(tmp_path.iterdir()) == []


def test_targets_of_one_form_share_the_graph(source: Source, tmp_path: Path) -> None:
    lines: list[str] = []
    targets = [load_target(name) for name in ("orin-nano", "cpu", "rtx-4090")]
    request = ExportRequest(out=tmp_path)
    made = export_artefacts(source, targets, request, stage=lines.append)
    assert len(lines) == stage_count(targets, request) == 2 * (len(STAGES) - 1) + 3
    nano, cpu, card = (one.manifest for one in made)
    assert (nano.precision, cpu.precision, card.precision) == ("fp16", "fp32", "fp16")
    assert nano.layers == card.layers != cpu.layers
    assert (nano.target, card.target) == ("orin-nano-8", "rtx-4090")


def test_over_the_budget_nothing_is_left(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = source.model.logits

    def shifted(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = honest(images)
        x[:, 9] = np.roll(x[:, 9], 5, axis=-1)
        return x, y

    monkeypatch.setattr(source.model, "logits", shifted)
    with pytest.raises(
        GateError, match=r"tiny\.cpu\.fp32\.onnx: the artefact differs .* left_wrist of crop \d by 2\.50 px"
    ):
        export(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_artefact(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export(source, tmp_path)
    before = made.path.read_bytes(), manifest_path(made.path).read_bytes()

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export(source, tmp_path)
    assert (made.path.read_bytes(), manifest_path(made.path).read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_stages_are_announced_in_order(source: Source, tmp_path: Path) -> None:
    lines: list[str] = []
    export_artefacts(source, [load_target("cpu")], ExportRequest(out=tmp_path), stage=lines.append)
    assert len(lines) == len(STAGES)
    assert all(line.startswith("cpu: ") for line in lines)


def test_an_artefact_is_no_source(exported: Exported) -> None:
    with pytest.raises(ModelFileError, match="is an artefact of amfac-export already"):
        read_source(exported.path)


def test_the_raw_twin_is_a_source(source: Source, exported: Exported, tmp_path: Path) -> None:
    assert exported.raw_path is not None
    again = read_source(exported.raw_path)
    assert again.recipe == source.recipe
    made = export(again, tmp_path)
    crops = parity.generated_crops(source.recipe, 3)
    with open_session(made.path) as one, open_session(exported.path) as other:
        np.testing.assert_array_equal(one.run(crops)[0], other.run(crops)[0])


def test_a_key_map_is_for_checkpoints(exported: Exported, tmp_path: Path) -> None:
    assert exported.raw_path is not None
    with pytest.raises(InputError, match="an ONNX has none"):
        read_source(exported.raw_path, key_map=tmp_path / "keys.toml")


def test_layers_are_one_line_each(exported: Exported) -> None:
    text = manifest_path(exported.path).read_text()
    assert json.loads(text)["schema"] == "amfac-manifest/1"
    rows = [line for line in text.splitlines() if line.startswith("    [")]
    assert len(rows) == len(exported.manifest.layers)
