"""Detectors through the whole export, small ones here, real ones where they lie beside the checkout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from amfac_edge.artefact import BatchRange, DetectorFacts, read_artefact, read_manifest
from amfac_edge.artefact.identify import identify
from amfac_edge.cli.export import main
from amfac_edge.declared.target import load_target
from amfac_edge.errors import GateError, InputError, ModelFileError
from amfac_edge.graph.detectors import with_pixels
from amfac_edge.pipeline import ExportRequest, detectors, export_detector, is_detector, read_detector
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

ONE = BatchRange(1, 1, 1)


@pytest.fixture(scope="module")
def rtmdet(made_detectors: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = made_detectors.rtmdet(tmp_path_factory.mktemp("rtmdet") / "made.onnx", form="chosen", batch="batch")
    return path


def export(path: Path, out: Path, target: str = "cpu", batch: BatchRange = ONE, precision: str | None = None) -> Path:
    request = ExportRequest(out=out, batch=batch, precision=precision)
    return export_detector(read_detector(path), [load_target(target)], request, stage=lambda _: None)[0].path


@pytest.fixture(scope="module")
def artefact(rtmdet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(rtmdet, tmp_path_factory.mktemp("artefact"))


def test_what_is_written_finds_what_the_network_does(artefact: Path, made_detectors: ModuleType) -> None:
    images = made_detectors.pictures(1, seed=3)
    boxes, scores = RawGraph(artefact.read_bytes(), name="x").run({"images": images})
    expected = made_detectors.rtmdet_by_hand(images)
    np.testing.assert_allclose(boxes, expected[0], atol=1e-3)
    np.testing.assert_allclose(scores, expected[1][..., 0], atol=1e-5)


def test_the_manifest_tells_the_contract(artefact: Path) -> None:
    manifest = read_manifest(artefact)
    assert isinstance(manifest.model, DetectorFacts)
    assert (manifest.name, manifest.model.family, manifest.input_kind) == ("made", "rtmdet", "images")
    assert [(one.name, one.dtype, one.shape) for one in (*manifest.inputs, *manifest.outputs)] == [
        ("images", "uint8", (1, 64, 96, 3)), ("boxes", "float32", (1, 126, 4)), ("scores", "float32", (1, 126)),
    ]  # fmt: skip
    assert manifest.parity["lost"] == 0
    assert manifest.parity["people"] > 0
    assert sum(layer.macs for layer in manifest.layers) > 0
    facts = identify(artefact)
    assert facts.title == "an artefact of amfac-export: a person detector"


def test_without_its_manifest_the_metadata_tell_it(artefact: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(artefact.read_bytes())
    found = identify(alone).manifest
    assert found is not None
    assert found.model == read_manifest(artefact).model


def test_pose_readers_refuse_it_in_one_sentence(artefact: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(artefact.read_bytes())
    for path in (artefact, alone):
        with pytest.raises(ModelFileError, match=rf"{path.name}: this is a person detector, not a pose network"):
            PoseEstimator(path)


def test_it_isnt_exported_twice(artefact: Path) -> None:
    assert is_detector(artefact)
    with pytest.raises(ModelFileError, match="this is an artefact of amfac-export already"):
        read_detector(artefact)


def test_a_dynamic_batch(rtmdet: Path, tmp_path: Path, made_detectors: ModuleType) -> None:
    path = export(rtmdet, tmp_path, batch=BatchRange(1, 3, 3))
    assert path.name == "made.cpu.fp32.b1-3.onnx"
    images = made_detectors.pictures(3)
    boxes, _ = RawGraph(path.read_bytes(), name="x").run({"images": images})
    np.testing.assert_allclose(boxes, made_detectors.rtmdet_by_hand(images)[0], atol=1e-3)


def test_a_batch_that_the_file_doesnt_allow(made_detectors: ModuleType, tmp_path: Path) -> None:
    path = made_detectors.yolox(tmp_path / "fixed.onnx")
    with pytest.raises(InputError, match=r"its batch is fixed at 1, not 1-4\s+Give --batch 1"):
        export(path, tmp_path, batch=BatchRange(1, 4, 4))


def test_float16_is_typed_and_gated(made_detectors: ModuleType, tmp_path: Path) -> None:
    path = export(made_detectors.yolox(tmp_path / "made.onnx", form="decoded"), tmp_path, "rtx-4090")
    assert path.name == "made.rtx-4090.fp16.onnx"
    manifest = read_manifest(path)
    assert manifest.precision == "fp16"
    assert manifest.parity["people_from"] == 0.15
    # Its only linear layers are the last ones, which stay float32, as decoding does.
    assert manifest.extra["half"]["mac_share"] == 0
    assert {one.dtype for one in manifest.outputs} == {"float32"}


def test_a_network_that_finds_others_is_not_written(
    rtmdet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(core: onnx.ModelProto, facts: DetectorFacts) -> onnx.ModelProto:
        model = with_pixels(core, facts)
        scale = next(each for each in model.graph.initializer if each.name == "amfac/scale")
        values = onnx.numpy_helper.to_array(scale) * 1.01
        scale.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), scale.name))
        return model

    monkeypatch.setattr(detectors, "with_pixels", shifted)
    with pytest.raises(GateError, match=r"made.cpu.fp32.onnx: the artefact differs from the network: boxes by"):
        export(rtmdet, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("family", "changes", "problem"),
    [
        ("rtmdet", {"broken": "nan"}, "are NaN or infinite"),
        ("yolox", {"classes": 3}, "tells 3 classes apart"),
        ("yolox", {"broken": "no sigmoid"}, "for want of a sigmoid"),
    ],
)
def test_hostile_files(
    made_detectors: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    family: str,
    changes: dict[str, object],
    problem: str,
) -> None:
    path = getattr(made_detectors, family)(tmp_path / "made.onnx", **changes)
    assert main([str(path), "--target", "cpu", "--out", str(tmp_path / "out")]) == 2
    assert problem in capsys.readouterr().err


def test_the_command(made_detectors: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made_detectors.yolox(tmp_path / "my-yolox.onnx", size=("h", "w"))
    words = [str(path), "--target", "cpu", "--size", "64x96", "--out", str(tmp_path), "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    (told,) = json.loads(out)["artefacts"]
    assert told["detector"]["family"] == "yolox"
    assert (told["detector"]["height"], told["detector"]["width"]) == (64, 96)
    assert told["path"] == str(tmp_path / "my-yolox.cpu.fp32.onnx")
    assert "assumed, since an ONNX doesn't say it: BGR pixels 0..255 as they are" in err
    assert "0 found by one of both alone" in err
    assert "amfac-run" not in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--recipe", "rtmpose-256x192"], "this is a person detector, and --recipe is for pose networks"),
        (["--raw-logits"], "--raw-logits is for pose networks"),
        (["--key-map", "x.toml"], "--key-map is for pose networks"),
        (["--size", "large"], '--size "large" is no size'),
        (["--size", "320"], "its input is fixed at 64x96"),
    ],
)
def test_wrong_words(
    rtmdet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert main([str(rtmdet), "--target", "cpu", "--out", str(tmp_path), *words]) == 2
    assert problem in capsys.readouterr().err


def test_a_pose_network_has_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pth").write_bytes(b"x")
    assert main([str(tmp_path / "model.pth"), "--target", "cpu", "--size", "320"]) == 2
    assert "--size is for person detectors" in capsys.readouterr().err


def test_only_an_onnx_can_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"x")
    (tmp_path / "b.onnx").write_bytes(b"x")
    assert not is_detector(tmp_path / "a.pth")
    assert not is_detector(tmp_path / "b.onnx")
    assert not is_detector(tmp_path / "none.onnx")


def test_the_artefact_is_read_like_any_other(artefact: Path) -> None:
    content, manifest = read_artefact(artefact)
    assert content == artefact.read_bytes()
    assert manifest.name == "made"
