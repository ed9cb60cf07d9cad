"""A manifest that describes a detector, and what pose readers make of it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from amfac_edge.artefact import BatchRange, DetectorFacts, Manifest, TensorSpec
from amfac_edge.artefact.detector_facts import candidates_of, outputs_of_detector
from amfac_edge.artefact.manifest_reading import manifest_from_json, manifest_from_metadata
from amfac_edge.errors import ModelFileError

FACTS = DetectorFacts(
    name="made", family="yolox", height=64, width=96, candidates=126, class_index=0, class_name="person", classes=80,
    score_threshold=0.01, iou_threshold=0.65,
)  # fmt: skip
MANIFEST = Manifest(
    target="cpu",
    precision="fp32",
    input_kind="images",
    batch=BatchRange(1, 1, 1),
    model=FACTS,
    inputs=(TensorSpec("images", "uint8", (1, 64, 96, 3)),),
    outputs=(TensorSpec("boxes", "float32", (1, 126, 4)), TensorSpec("scores", "float32", (1, 126))),
    digests={"source": "a" * 64, "artefact": "b" * 64},
    versions={"amfac-edge": "0.1.0"},
)


def test_the_manifest_survives_its_file() -> None:
    data = json.loads(MANIFEST.as_bytes())
    assert manifest_from_json(data, where="x") == MANIFEST
    assert data["kind"] == "detector"
    assert "recipe" not in data
    assert data["letterbox"].startswith("BGR frame scaled by s = min(96 / width, 64 / height) on both axes")
    assert "the rest is 114" in data["letterbox"]
    assert data["score"] == "sigmoid of the objectness times sigmoid of the class person"


def test_the_metadata_say_the_same() -> None:
    found = manifest_from_metadata(MANIFEST.metadata(), where="x")
    assert found is not None
    assert found.model == FACTS
    assert (found.input_kind, str(found.batch), found.name) == ("images", "1", "made")


def test_a_detector_has_no_recipe() -> None:
    with pytest.raises(ModelFileError, match="made: this is a person detector, not a pose network"):
        _ = MANIFEST.recipe


def test_facts_of_later_versions_are_no_fault() -> None:
    data = json.loads(MANIFEST.as_bytes())
    data["detector"]["anchors"] = "none"
    assert manifest_from_json(data, where="x").model == FACTS


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"family": "yolov9"}, "family"),
        ({"height": 0}, "height"),
        ({"candidates": "many"}, "candidates"),
        ({"class_index": 80}, "80 is none of 80 classes"),
        ({"score_threshold": 1.5}, "score_threshold"),
    ],
)
def test_faulty_facts(changes: dict[str, object], problem: str) -> None:
    data = json.loads(MANIFEST.as_bytes())
    data["detector"] |= changes
    with pytest.raises(ModelFileError, match=problem):
        manifest_from_json(data, where="x")


def test_a_kind_without_its_facts() -> None:
    data = json.loads(MANIFEST.as_bytes())
    del data["detector"]
    with pytest.raises(ModelFileError, match="detector"):
        manifest_from_json(data, where="x")
    with pytest.raises(ModelFileError, match="kind"):
        manifest_from_json(data | {"kind": "tracker"}, where="x")


def test_a_manifest_from_before_there_were_kinds_is_a_poses() -> None:
    data = json.loads(MANIFEST.as_bytes())
    del data["kind"]
    with pytest.raises(ModelFileError, match="recipe"):
        manifest_from_json(data, where="x")


def test_candidates() -> None:
    assert candidates_of(64, 96) == 126
    assert candidates_of(416, 416) == 3549
    assert candidates_of(640, 640) == 8400


def test_outputs() -> None:
    levels: list[tuple[int | str, ...]] = [(1, 80, 8, 12), (1, 80, 4, 6), (1, 80, 2, 3)]
    sides: list[tuple[int | str, ...]] = [(1, 4, *shape[2:]) for shape in levels]
    assert outputs_of_detector(["dets", "labels"], [("N", "n", "5"), ("N", "n")])
    assert outputs_of_detector(list("abcdef"), [*levels, *sides])
    assert not outputs_of_detector(list("abcdef"), levels * 2)
    assert outputs_of_detector(["output"], [(1, 126, 85)])
    assert not outputs_of_detector(["output"], [(1, 17, 3)])
    assert not outputs_of_detector(["simcc_x", "simcc_y"], [(1, 17, 96), (1, 17, 128)])


def test_rtmdets_score_is_another() -> None:
    assert dataclasses.replace(FACTS, family="rtmdet").score_sentence() == "sigmoid of the logit of the class person"
