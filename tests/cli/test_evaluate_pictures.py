"""amfac-eval's pictures, and that no output takes the place of what is read or of another output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.cli.evaluate import main
from amfac_edge.datasets import generated_people
from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five generated people as files, and predictions that are right; the working folder is theirs."""
    people = generated_people(5, 1, height=96, width=80)
    (tmp_path / "pictures").mkdir()
    entries = []
    for index, number in enumerate(people.images):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), people.read_image(number))
        x1, y1, x2, y2 = people.boxes[index].tolist()
        points = people.keypoints[index].reshape(-1).tolist()
        entry = {"id": number, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        entries.append({**entry, "area": 2000.0, "keypoints": points})
    images = [{"id": number, "file_name": f"{number}.png", "width": 80, "height": 96} for number in people.images]
    category = {"id": 1, "name": "person", "keypoints": list(people.skeleton.joints)}
    data = {"images": images, "annotations": entries, "categories": [category]}
    (tmp_path / "people.json").write_text(json.dumps(data))
    (tmp_path / "found.json").write_text(json.dumps([{**entry, "score": 0.8} for entry in entries]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkpoint(figures: Path, tiny_recipe: Path) -> Path:
    fresh_checkpoint(tiny_recipe, 1, figures / "tiny.pth")
    return Path("tiny.pth")


def run(*words: object) -> int:
    return main([str(word) for word in words])


def picture(name: str) -> NDArray[np.uint8]:
    found = cv2.imread(name)
    assert found is not None
    return np.asarray(found, np.uint8)


DATA = ("--data", "people.json", "--images", "pictures")
SAVED = ("--predictions", "found.json", *DATA)


@pytest.mark.usefixtures("figures")
def test_a_grid_of_saved_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("grid.png", "same.png"):
        assert run(*SAVED, "--grid", name, "--count", 4) == 0
    assert "saved grid.png" in capsys.readouterr().err
    grid = picture("grid.png")
    assert grid.shape[1] == 920
    assert np.array_equal(grid, picture("same.png"))
    seeds = []
    for seed in (0, 1, 2):
        assert run(*SAVED, "--grid", "one.png", "--count", 1, "--seed", seed) == 0
        seeds.append(picture("one.png").tobytes())
    assert len(set(seeds)) > 1


def test_pictures_of_a_checkpoint(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(checkpoint, *DATA, "--grid", "grid.jpg", "--attention", "gates.png", "--count", 2, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["details"]["model"] == "tiny"
    assert "saved gates.png: 2 people" in err
    sheet = picture("gates.png")
    # Seven columns of crops of 64x48, 240 pixels high.
    assert sheet.shape[1] == 7 * (180 + 6) + 6
    assert 2 * 282 < sheet.shape[0] < 2 * 282 + 300
    assert picture("grid.jpg").shape[1] == 920


EBA = """
name = "eba"
family = "eba-prnetcc"
skeleton = "coco-17"
[input]
height = 64
width = 64
[network]
backbone = "resnet18"
stage_channels = [16, 16, 16, 16]
deconv_channels = 8
hidden = 8
"""


@pytest.mark.parametrize("name", ["eba", "tiny"])
def test_networks_without_the_block_are_refused_before_anything_is_scored(
    name: str, figures: Path, tiny_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    afpn = tiny_recipe.read_text().replace("hidden = 16", "hidden = 16\ndgcb = false")
    (figures / "plain.toml").write_text(EBA if name == "eba" else afpn)
    fresh_checkpoint(figures / "plain.toml", 1, figures / "plain.pth")
    assert run("plain.pth", *DATA, "--attention", "gates.png", "--save-predictions", "p.json") == 2
    err = capsys.readouterr().err
    assert f"plain.pth: its recipe, {name}, has no Dual-Gate Context Block that could be switched off" in err
    assert "afpn = true and dgcb = true" in err
    assert not {"gates.png", "p.json"} & {path.name for path in figures.iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*SAVED, "--attention", "a.png"), "--attention with --predictions: only a checkpoint's gates"),
        (("m.onnx", *DATA, "--attention", "a.png"), "--attention with m.onnx: only a checkpoint's gates"),
        ((*SAVED, "--grid", "grid.pdf"), 'grid.pdf: no form of picture ends in ".pdf"'),
        ((*SAVED, "--worst", "cases"), 'cases: no form of picture ends in ""'),
        ((*SAVED, "--count", "3"), "--count 3: of nothing"),
        ((*SAVED, "--grid", "a.png", "--count", "0"), "--count 0: of nothing"),
        (
            (*SAVED[:4], "--grid", "a.png", "--worst", "b.png"),
            "--worst, --grid: people was loaded without its pictures",
        ),
        ((*SAVED, "--save-predictions", "found.json"), "found.json: would overwrite what is read from there"),
        ((*SAVED, "--save-predictions", "./people.json"), "people.json: would overwrite what is read from there"),
        (("m.onnx", *DATA, "--save-predictions", "m.onnx.json"), "would overwrite what is read from there"),
        (("m.onnx", *DATA, "--boxes", "d.json", "--save-predictions", "d.json"), "would overwrite what is read"),
        ((*SAVED, "--bootstrap", "9", "--against", "q.json", "--save-predictions", "q.json"), "would overwrite"),
        (("--predictions", "found.json", "--data", "set.toml", "--save-predictions", "people.json"), "would overwrite"),
        ((*SAVED, "--grid", "pictures/3.png"), "pictures/3.png: would overwrite a picture of people"),
        (("--predictions", "found.json", "--data", "set.toml", "--worst", "pictures/1.png"), "overwrite a picture of"),
        ((*SAVED, "--grid", "a.png", "--worst", "./a.png"), "a.png: two outputs have this name"),
        (("m.onnx", *DATA, "--grid", "c.png", "--robustness", "c.csv"), "c.png: two outputs have this name"),
    ],
)
def test_what_can_not_be_written_is_refused_before_the_work(
    words: tuple[str, ...], message: str, figures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (figures / "set.toml").write_text('[source]\nannotations = "people.json"\nimages = "pictures"\n')
    before = {path: path.read_bytes() for path in figures.rglob("*") if path.is_file()}
    assert run(*words) != 0
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in figures.rglob("*") if path.is_file()} == before


def test_a_link_to_an_input_is_that_input(figures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (figures / "link.json").symlink_to("found.json")
    assert run(*SAVED, "--save-predictions", "link.json") != 0
    assert "link.json: would overwrite what is read from there" in capsys.readouterr().err


@pytest.mark.usefixtures("figures")
def test_a_new_picture_may_lie_among_those_of_the_data_and_be_written_again() -> None:
    for _ in range(2):
        assert run(*SAVED, "--grid", "pictures/grid.png") == 0


def test_a_picture_that_can_not_be_read_is_named(figures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (figures / "pictures").glob("*.png"):
        path.write_bytes(b"damaged")
    assert run(*SAVED, "--grid", "grid.png") != 0
    assert "the picture is truncated, damaged or none" in capsys.readouterr().err


def test_real_predictions_make_a_grid(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "coco_person_dev"
    words: list[Any] = [
        "--predictions",
        shared_data / "peer_ref" / "ulsp_rtmdetbox_dev.json",
        "--grid",
        tmp_path / "g.png",
    ]
    assert run(*words, "--data", folder / "person_keypoints.json", "--images", folder / "images", "--count", 6) == 0
    assert picture(str(tmp_path / "g.png")).shape[1] == 1380
