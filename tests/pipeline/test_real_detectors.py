"""RTMDet-nano and YOLOX-nano as their projects publish them: exported, built, and looked at on real pictures."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import pytest

from amfac_edge.artefact import RTX, BatchRange, DetectorFacts, read_artefact, read_manifest, read_plan_header
from amfac_edge.cli.export_detector import letterboxed
from amfac_edge.compiler import has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.graph.cutting import prune
from amfac_edge.graph.onnx_values import shape_of
from amfac_edge.keypoints import Letterbox, overlaps, suppressed
from amfac_edge.pipeline import ExportRequest, export_detector, read_detector
from amfac_edge.pipeline.engines import Order, build_engine
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.pipeline import Exported

pytestmark = pytest.mark.slow
MODELS = ("rtmdet_nano_person", "yolox_nano")
SIZES = {"rtmdet_nano_person": (320, 2100, 1), "yolox_nano": (416, 3549, 80)}


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> dict[int, np.ndarray]:
    """16 pictures by their number in the annotations."""
    folder = shared_data / "coco_person_dev"
    listed = json.loads((folder / "person_keypoints.json").read_text())["images"][:16]
    read = {entry["id"]: cv2.imread(str(folder / "images" / entry["file_name"])) for entry in listed}
    return {number: picture for number, picture in read.items() if picture is not None}


def exported(
    path: Path, out: Path, targets: list[str], frames: list[np.ndarray], size: tuple[int, int] | None = None
) -> list[Exported]:
    source = read_detector(path, size=size)
    request = ExportRequest(out=out, batch=BatchRange(1, 1, 1), crops=letterboxed(frames, source.facts))
    return export_detector(source, [load_target(name) for name in targets], request, stage=lambda _: None)


@pytest.mark.parametrize("model", MODELS)
def test_people_are_found_where_they_were_annotated(
    model: str, shared_data: Path, pictures: dict[int, np.ndarray], tmp_path: Path
) -> None:
    (one,) = exported(shared_data / "models" / f"{model}.onnx", tmp_path, ["cpu"], list(pictures.values()))
    content, manifest = read_artefact(one.path)
    facts = manifest.model
    assert isinstance(facts, DetectorFacts)
    side, candidates, classes = SIZES[model]
    assert (facts.height, facts.width, facts.candidates, facts.classes) == (side, side, candidates, classes)
    # The same people as the network with its own suppression, or with the same one where it has none.
    assert (manifest.parity["lost"], manifest.parity["images"]) == (0, 24)
    assert manifest.parity["people"] > 100

    engine = RawGraph(content, name=model)
    notes = json.loads((shared_data / "coco_person_dev" / "person_keypoints.json").read_text())["annotations"]
    large = found = 0
    for number, frame in pictures.items():
        height, width = frame.shape[:2]
        boxes, scores = engine.run({"images": np.stack(letterboxed([frame], facts))})
        kept = suppressed(boxes[0], scores[0], score_threshold=0.3, iou_threshold=facts.iou_threshold)
        people = Letterbox(height, width, side, side).to_frame(boxes[0][kept])
        for note in notes:
            x, y, w, h = note["bbox"]
            if note["image_id"] == number and not note["iscrowd"] and w * h > 0.05 * width * height:
                large += 1
                found += bool((overlaps(np.array([x, y, x + w, y + h]), people) > 0.5).any())
    assert large >= 15
    assert found >= 0.9 * large


def test_raw_heads_of_rtmdet_are_the_same_network(
    shared_data: Path, pictures: dict[int, np.ndarray], tmp_path: Path
) -> None:
    whole = shared_data / "models" / "rtmdet_nano_person.onnx"
    raw = onnx.load(whole)
    inferred = onnx.shape_inference.infer_shapes(raw)
    # The maps of one class and of four sides, which no other convolution has.
    channels = {value.name: shape_of(value)[1:2] for value in inferred.graph.value_info}
    convolutions = [node.output[0] for node in raw.graph.node if node.op_type == "Conv"]
    logits = [name for name in convolutions if channels[name] == (1,)]
    sides = [node.output[0] for node in raw.graph.node if node.op_type == "Mul" and channels[node.output[0]] == (4,)]
    assert (len(logits), len(sides)) == (3, 3)
    values = {value.name: value for value in inferred.graph.value_info}
    del raw.graph.output[:]
    raw.graph.output.extend(values[name] for name in (*logits, *sides))
    prune(raw.graph, {*logits, *sides})
    onnx.save(raw, tmp_path / "heads.onnx")

    few = dict(itertools.islice(pictures.items(), 2))
    (one,) = exported(whole, tmp_path, ["cpu"], list(few.values()))
    (other,) = exported(tmp_path / "heads.onnx", tmp_path, ["cpu"], list(few.values()))
    assert isinstance(other.manifest.model, DetectorFacts)
    images = np.stack(letterboxed(few.values(), other.manifest.model))
    for image in images:
        expected, found = (
            RawGraph(each.path.read_bytes(), name="x").run({"images": image[None]}) for each in (one, other)
        )
        np.testing.assert_allclose(found[0], expected[0], atol=0.05)
        np.testing.assert_allclose(found[1], expected[1], atol=5e-4)


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
@pytest.mark.parametrize("model", MODELS)
def test_both_build_for_a_card_and_as_a_kit(
    model: str, shared_data: Path, pictures: dict[int, np.ndarray], tmp_path: Path
) -> None:
    source = shared_data / "models" / f"{model}.onnx"
    half, board = exported(source, tmp_path, ["rtx-4090", "orin-nano-8"], list(pictures.values()))
    assert half.manifest.precision == "fp16"
    assert half.manifest.extra["half"]["mac_share"] > 0.95
    engine = build_engine(half.path, load_target("rtx-4090"), Order(beside=half.beside))
    assert engine.plan is not None
    header, manifest = read_plan_header(engine.plan.path), read_manifest(engine.plan.path)
    assert (header.flavour, header.fault, header.compute_capabilities) == (RTX, None, ("8.9",))
    assert header.engine_name == f"amfac/1 {model} {half.manifest.digests['artefact'][:16]}"
    assert manifest.model == half.manifest.model

    kit = build_engine(board.path, load_target("orin-nano-8"), Order(beside=board.beside)).kit
    assert kit is not None
    with tarfile.open(kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    (folder,) = (tmp_path / "board").iterdir()
    # TensorRT-RTX in the board's place: it has no code for an Orin, and says so after all else went well.
    words = [sys.executable, str(folder / "build.py"), "--flavour", RTX]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    assert built.returncode == 2
    assert "TensorRT-RTX builds no plan for Jetson Orin Nano 8 GB: it serves RTX cards" in built.stderr


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_a_dynamic_batch_builds(shared_data: Path, tmp_path: Path) -> None:
    source = read_detector(shared_data / "models" / "rtmdet_nano_person.onnx", size=(192, 320))
    request = ExportRequest(out=tmp_path, batch=BatchRange(1, 2, 4), precision="fp32")
    (one,) = export_detector(source, [load_target("rtx-3060")], request, stage=lambda _: None)
    assert one.path.name == "rtmdet_nano_person.rtx-3060.fp32.b1-2-4.onnx"
    plan = build_engine(one.path, load_target("rtx-3060"), Order(beside=one.beside)).plan
    assert plan is not None
    assert plan.manifest.plan is not None
    shapes = plan.manifest.plan.profile["images"]
    assert (shapes.minimum, shapes.optimum, shapes.maximum) == ((1, 192, 320, 3), (2, 192, 320, 3), (4, 192, 320, 3))
