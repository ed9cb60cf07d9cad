"""amfac-eval from the command line: each kind of file, both sources of boxes, and what is refused."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from amfac_edge.cli.evaluate import main
from amfac_edge.cli.export import main as export
from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.keypoints import skeleton
from amfac_edge.networks import build_network, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from amfac_edge.datasets import PeopleSet

_COCO = ["AP", "AP50", "AP75", "APm", "APl", "AR"]


def _write_set(folder: Path, pictures: dict[int, Any], boxes: list[list[float]], keypoints: list[list[float]]) -> Path:
    (folder / "pictures").mkdir()
    for number, picture in pictures.items():
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
    first = next(iter(pictures.values()))
    data = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": first.shape[1], "height": first.shape[0]}
            for number in pictures
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 2000.0, "keypoints": points}
            for number, box, points in zip(pictures, boxes, keypoints, strict=True)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton("coco-17").joints)}],
    }
    path = folder / "people.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def markers_set(markers: ModuleType, tmp_path: Path) -> Path:
    """Five pictures whose crops are the marker network's own, so that it finds every joint."""
    pictures, boxes, keypoints = {}, [], []
    for number in range(1, 6):
        places = markers.spread_places(number)
        pictures[number] = np.zeros((96, 80, 3), np.uint8)
        pictures[number][20 : 20 + markers.HEIGHT, 10 : 10 + markers.WIDTH] = markers.painted_crop(places)
        width, height = markers.WIDTH / 1.25, markers.HEIGHT / 1.25
        boxes.append([10 + (markers.WIDTH - 1 - width) / 2, 20 + (markers.HEIGHT - 1 - height) / 2, width, height])
        keypoints.append([value for x, y in places for value in (x + 10, y + 20, 2)])
    return _write_set(tmp_path, pictures, boxes, keypoints)


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    path: Path = markers.write_artefact(tmp_path / "markers.cpu.fp32.onnx", trained=False)
    return path


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """Three generated people as files."""
    people: PeopleSet = generated_people(3, 1, height=64, width=64)
    extents = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], axis=1)
    pictures = {number: people.read_image(number) for number in (1, 2, 3)}
    return _write_set(tmp_path, pictures, extents.tolist(), people.keypoints.reshape(3, -1).tolist())


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def _json(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401
    return json.loads(capsys.readouterr().out)


def test_an_artefact_on_its_own_people(markers_set: Path, engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = markers_set.parent / "pictures"
    assert _run(engine, "--data", markers_set, "--images", images, "--json") == 0
    answer = _json(capsys)
    assert list(answer) == [*_COCO, "details"]
    assert answer["AP"] == pytest.approx(1.0)
    assert answer["details"]["model"] == "marker-64x48"
    assert (answer["details"]["boxes"], answer["details"]["people"]) == ("ground truth", 5)
    assert {row["boxes"] for row in answer["details"]["published"]} == {"box source not stated"}


def test_both_sources_of_boxes_are_printed_with_the_papers_rows(
    markers_set: Path, engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(markers_set.read_text())
    found = [{"image_id": each["image_id"], "bbox": each["bbox"], "score": 0.5} for each in data["annotations"][:3]]
    detector = markers_set.with_name("detector.json")
    detector.write_text(json.dumps([*found, found[0]]))
    images = markers_set.parent / "pictures"
    assert _run(engine, "--data", markers_set, "--images", images, "--boxes", "gt", "--boxes", detector) == 0
    out, err = capsys.readouterr()
    lines = {line[:36].strip(): line[36:].split() for line in out.splitlines()}
    assert lines["boxes: ground truth"][0] == "1.0000"
    assert lines["boxes: detector.json"][0] == f"{61 / 101:.4f}"  # three of five people; the double is gone
    assert "printed in the papers, box source not stated:" in out
    assert lines["AMFACPose ResNet34 384x288"][0] == "0.7660"
    assert "untrained weights" in err


def test_saved_predictions_score_the_same(
    markers_set: Path, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, saved, sheet = markers_set.parent / "pictures", tmp_path / "p.json", tmp_path / "worst.png"
    assert _run(engine, "--data", markers_set, "--images", images, "--save-predictions", saved, "--json") == 0
    first = _json(capsys)
    words = ["--predictions", saved, "--data", markers_set, "--images", images]
    assert _run(*words, "--worst", sheet, "--bootstrap", 50, "--against", saved, "--json") == 0
    again = _json(capsys)
    assert {name: again[name] for name in _COCO} == {name: first[name] for name in _COCO}
    assert again["details"]["intervals_95"]["AP"] == pytest.approx([1, 1])
    assert again["details"]["difference_95"]["AP"] == [0, 0]
    assert cv2.imread(str(sheet)) is not None


def test_boxes_of_one_name_are_told_apart_by_their_paths(
    markers_set: Path, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(markers_set.read_text())
    found = [{"image_id": each["image_id"], "bbox": each["bbox"], "score": 0.5} for each in data["annotations"]]
    paths = [tmp_path / folder / "det.json" for folder in ("all", "three")]
    for path, boxes in zip(paths, (found, found[:3]), strict=True):
        path.parent.mkdir()
        path.write_text(json.dumps(boxes))
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures"]
    assert _run(*words, *(word for path in paths for word in ("--boxes", path)), "--json") == 0
    by_boxes = _json(capsys)["details"]["by_boxes"]
    assert {name: score["AP"] for name, score in by_boxes.items()} == pytest.approx(
        {str(paths[0]): 1.0, str(paths[1]): 61 / 101}
    )


def test_a_picture_that_is_left_out_is_left_out_of_the_other_predictions_too(
    markers_set: Path, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "p.json"
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures", "--json"]
    assert _run(*words, "--save-predictions", saved) == 0
    (markers_set.parent / "pictures" / "2.png").write_bytes(b"damaged")
    capsys.readouterr()
    assert _run(*words, "--skip-faults", "--bootstrap", 20, "--against", saved) == 0
    assert _json(capsys)["details"]["difference_95"]["AP"] == [0, 0]


def test_crowdpose_has_its_classes(markers_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(markers_set.read_text())
    data["categories"][0]["keypoints"] = list(skeleton("crowdpose-14").joints)
    for entry, image in zip(data["annotations"], data["images"], strict=True):
        entry["keypoints"] = entry["keypoints"][:42]
        image["crowdIndex"] = 0.1
    markers_set.write_text(json.dumps(data))
    saved = tmp_path / "p.json"
    saved.write_text(json.dumps([{"score": 1, **each} for each in data["annotations"]]))
    table = tmp_path / "data.toml"
    table.write_text('[source]\nannotations = "people.json"\nsplit = "test"\n')
    assert _run("--predictions", saved, "--data", table, "--json") == 0
    answer = _json(capsys)
    assert list(answer) == [*_COCO, "APeasy", "APmedium", "APhard", "details"]
    assert [answer[name] for name in ("APm", "APeasy", "APmedium", "APhard")] == [None, 1.0, -1.0, -1.0]
    assert answer["details"]["split"] == "test"
    assert _run("--predictions", saved, "--data", table, "--protocol", "pck", "--pck", 0.2) == 0
    assert "protocol pck" in capsys.readouterr().out


@pytest.mark.slow
def test_the_raw_twin_and_the_checkpoint_flip_and_agree(
    figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe("amfacpose-r18-128x128")
    torch.manual_seed(1)
    save_checkpoint(tmp_path / "fresh.pth", build_network(recipe).eval(), recipe, trained=False)
    assert export([str(tmp_path / "fresh.pth"), "--target", "cpu", "--raw-logits", "--out", str(tmp_path)]) == 0
    raw = next(path for path in tmp_path.glob("*.onnx") if "raw" in path.name)
    artefact = next(path for path in tmp_path.glob("*.onnx") if "raw" not in path.name)
    capsys.readouterr()
    images, points = figures.parent / "pictures", {}
    runs: dict[str, list[object]] = {
        "checkpoint": [tmp_path / "fresh.pth"],
        "artefact": [artefact],
        "raw": [raw],
        "checkpoint flipped": [tmp_path / "fresh.pth", "--flip"],
        "raw flipped": [raw, "--flip"],
    }
    for name, words in runs.items():
        saved = tmp_path / "saved.json"
        assert _run(*words, "--data", figures, "--images", images, "--save-predictions", saved, "--json") == 0
        points[name] = np.array([each["keypoints"] for each in json.loads(saved.read_text())])
    capsys.readouterr()
    # Untrained logits are nearly flat: joints agree wherever the best bin is clear, which is nearly everywhere.
    assert _run(raw, "--provider", "cuda", "--data", figures, "--images", images) == 2
    assert "a raw twin is evaluated on the CPU" in capsys.readouterr().err
    for one, other in (("checkpoint", "artefact"), ("checkpoint", "raw"), ("checkpoint flipped", "raw flipped")):
        assert (np.abs(points[one] - points[other]) < 1e-3).mean() > 0.98
    assert (np.abs(points["checkpoint"] - points["checkpoint flipped"]) > 0.1).any()
    assert _run(artefact, "--flip", "--data", figures, "--images", images) == 2
    assert "gives joints, no logits" in capsys.readouterr().err


def test_the_robustness_curve(markers_set: Path, engine: Path, tmp_path: Path) -> None:
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures"]
    assert _run(*words, "--robustness", tmp_path / "curve.csv") == 0
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert (rows[1], len(rows)) == ("low light,1,AP,1.000000", 13)
    assert cv2.imread(str(tmp_path / "curve.png")) is not None


def test_the_robustness_curve_goes_by_the_threshold(markers_set: Path, engine: Path, tmp_path: Path) -> None:
    data = json.loads(markers_set.read_text())
    data["annotations"][0]["keypoints"][0] += 3  # of a box of 51 pixels
    markers_set.write_text(json.dumps(data))
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures", "--protocol", "pck"]
    for threshold, right in ((0.1, 85), (0.01, 84)):
        assert _run(*words, "--pck", threshold, "--robustness", tmp_path / "curve.csv") == 0
        first = (tmp_path / "curve.csv").read_text().splitlines()[1]
        assert first == f"low light,1,PCK,{right / 85:.6f}"


def test_faults_are_named_and_left_out(markers_set: Path, engine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (markers_set.parent / "pictures" / "2.png").write_bytes(b"damaged")
    data = json.loads(markers_set.read_text())
    data["annotations"][0]["bbox"] = [1, 1, 0, 0]
    markers_set.write_text(json.dumps(data))
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures"]
    assert _run(*words) == 2
    assert "annotation 0 (id 1): bbox [1, 1, 0, 0] has no area" in capsys.readouterr().err
    assert _run(*words, "--skip-faults", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["details"]["faults"] == 2
    assert "left out: annotation 0 (id 1)" in err
    assert "2.png: the picture is truncated, damaged or none" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a FILE or --predictions"),
        (["m.onnx", "--predictions", "p.json"], "give a FILE or --predictions"),
        (["--predictions", "p.json", "--flip"], "--flip with --predictions"),
        (["--predictions", "p.json", "--wait", "spin"], "--wait with --predictions: it is of a .plan"),
        (["m.onnx", "--recipe", "r.toml"], "--recipe with m.onnx: an exported file has its recipe"),
        (["m.plan", "--key-map", "k.toml"], "--key-map with m.plan: an exported file has no keys"),
        (["m.onnx", "--skeleton", "coco-17"], "--skeleton with m.onnx: the model's own"),
        (["m.pth", "--provider", "cuda"], "--provider with m.pth: it is of an .onnx"),
        (["m.pth", "--cuda", "pycuda"], "--cuda with m.pth: it is of a .plan"),
        (["m.pth", "--allow-host-code"], "--allow-host-code with m.pth: it is of a .plan"),
        (["--predictions", "p.json", "--against", "q.json"], "no such resampling"),
        (["--predictions", "p.json", "--bootstrap", "-1"], "no such resampling"),
        (["m.onnx", "--bootstrap", "1"], "--bootstrap 1 --seed 0: no such resampling"),
        (["m.onnx", "--robustness", "curve.txt"], "not a .csv"),
        (
            ["m.onnx", "--pck", "-1"],
            "PCK at -1: no such threshold\n  Give a part of the box's longer side above 0 and up",
        ),
        (["m.onnx", "--protocol", "pck", "--pck", "7"], "up to 1 (--pck 0.1)"),
        (["m.onnx", "--protocol", "coco", "--pck", "0.2"], "--pck 0.2 with the protocol coco"),
        (["m.onnx", "--protocol", "pck", "--bootstrap", "9", "--against", "q.json"], "--against compares OKS AP"),
        (["m.onnx"], "m.onnx: can't be read"),
        (["m.pth"], "m.pth"),
    ],
)
def test_what_doesnt_go_together_is_refused(
    markers_set: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(*words, "--data", markers_set, "--json") == 2
    out, err = capsys.readouterr()
    assert message in err
    assert json.loads(out)["exit_code"] == 2


def test_what_cant_be_scored_is_refused_before_the_network_runs(
    markers_set: Path, engine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(*_: object, **__: object) -> None:
        pytest.fail("the network ran")

    monkeypatch.setattr("amfac_edge.cli.evaluate.predict_people", ran)
    words = [engine, "--data", markers_set, "--images", markers_set.parent / "pictures"]
    assert _run(*words, "--pck", 0.2) == 2
    assert "--pck 0.2 with the protocol coco" in capsys.readouterr().err
    assert _run(*words, "--bootstrap", 9, "--against", "q.json") == 2
    assert "q.json: the results file does not exist" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    assert _run(*words) == 3
    assert 'pip install "amfac-edge[eval]"' in capsys.readouterr().err


def test_real_predictions(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shared_data / "coco_person_dev" / "person_keypoints.json"
    assert _run("--predictions", shared_data / "peer_ref" / "ulsp_gtbox_dev.json", "--data", data, "--json") == 0
    assert _json(capsys)["AP"] == pytest.approx(0.4698642020872999, abs=5e-7)
