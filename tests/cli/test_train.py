"""amfac-train from the command line: what it writes, goes on with, and refuses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cli.train import main
from amfac_edge.keypoints import skeleton
from amfac_edge.networks import load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from pytest import CaptureFixture  # noqa: PT013 - a type


def told(tiny_recipe: Path, out: Path, *more: str) -> list[str]:
    plain = ["--data", "generated:12", "--epochs", "1", "--batch-size", "4", "--workers", "0"]
    return [str(tiny_recipe), *plain, "--out", str(out), *more]


def test_it_trains_scores_and_tells(tiny_recipe: Path, tmp_path: Path, capsys: CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(told(tiny_recipe, out, "--val", "generated:4:1", "--json")) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["files"] == [
        "best.safetensors", "curves.png", "last.safetensors", "log.csv", "log.json", "state.safetensors",
    ]  # fmt: skip
    assert said["last"]["epoch"] == 1
    assert "tiny: 12 people of generated-12-0, 1 epochs of batches of 4, lr 0.001 (cosine)" in captured.err
    assert "scored on generated-4-1: 4 people" in captured.err
    assert "next: amfac-export" in captured.err


def test_it_goes_on_only_where_it_was(tiny_recipe: Path, tmp_path: Path, capsys: CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(told(tiny_recipe, out)) == 0
    assert main(told(tiny_recipe, out)) == 2
    assert "has a training already" in capsys.readouterr().err
    assert main(told(tiny_recipe, out, "--resume", "--lr", "0.5")) == 2
    assert "optimization.lr was 0.001, now 0.5" in capsys.readouterr().err
    # Finished: going on is nothing to do, and no error.
    assert main(told(tiny_recipe, out, "--resume", "--workers", "1")) == 0


def test_the_command_line_is_the_recipe_that_is_kept(tiny_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(told(tiny_recipe, out, "--optimization", "paper", "--lr", "3e-5", "--schedule", "step")) == 0
    recipe = load_checkpoint(out / "last.safetensors").recipe
    assert (recipe.training.epochs, recipe.training.batch_size) == (1, 4)
    assert (recipe.training.paper.lr, recipe.training.paper.schedule) == (3e-5, "step")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--epochs", "0"], "training.epochs: 0 is not within"),
        (["--lr", "nan"], "training.scratch.lr"),
        (["--ema", "1.5"], "training.scratch.ema: 1.5 is not within"),
        (["--seed", "-1"], "--seed -1"),
        (["--device", "tpu"], "--device tpu"),
        (["--precision", "fp16", "--device", "cpu"], "fp16 without a GPU"),
        (["--images", "a", "--images", "b"], "2 --images for 1 --data"),
        (["--images", "pics"], "pics as the pictures of generated:"),
        (["--val", "generated:8:1", "--val-images", "pics"], "pics as the pictures of generated:8:1"),
        (["--val-images", "pics", "--protocol", "pck"], "--val-images, --protocol without --val"),
        (["--score-every", "2"], "--score-every without --val"),
        (["--init", "nowhere.pth"], "nowhere.pth: the checkpoint does not exist"),
        (["--resume"], "no training to go on with"),
        (["--data", "generated:0"], "no 0 generated people"),
        (["--data", "nowhere.json"], "nowhere.json"),
        (["--data", "generated:-4"], "generated:-4: no such generated people"),
        (["--data", "generated:abc"], "Give generated:COUNT or generated:COUNT:SEED"),
        (["--val", "generated:4:x"], "generated:4:x: no such generated people"),
        (["--batch-size", "400"], "12 people don't fill a batch of 400"),
        (["--data", "JSON"], "people: was loaded without its pictures"),
        (["--val", "JSON"], "people: was loaded without its pictures"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    more: list[str], problem: str, tiny_recipe: Path, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    data = _data(tmp_path)
    out = tmp_path / "new" / "run"
    assert main(told(tiny_recipe, out, *(str(data) if word == "JSON" else word for word in more))) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert "epoch 1" not in said
    assert list(tmp_path.iterdir()) == [data]


def _data(folder: Path) -> Path:
    """The annotations of one person, whose picture is nowhere."""
    joints = skeleton("coco-17").joints
    entry = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [8, 8, 40, 40],
        "area": 900,
        "keypoints": [20, 20, 2] * 17,
    }
    path = folder / "people.json"
    images = [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}]
    categories = [{"id": 1, "name": "person", "keypoints": list(joints)}]
    path.write_text(json.dumps({"images": images, "annotations": [entry], "categories": categories}))
    return path


def test_a_folder_that_was_there_stays(tiny_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    assert main(told(tiny_recipe, out / "new" / "run", "--init", "nowhere.pth")) == 2
    assert list(tmp_path.rglob("*")) == [out]


def test_a_missing_evaluator_is_told_before_the_first_batch(
    tiny_recipe: Path, tmp_path: Path, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    out = tmp_path / "run"
    assert main(told(tiny_recipe, out, "--val", "generated:4:1")) == 3
    said = capsys.readouterr().err
    assert 'pip install "amfac-edge[eval]"' in said
    assert "epoch 1" not in said
    assert not out.exists()
    # PCK needs no package.
    assert main(told(tiny_recipe, out, "--val", "generated:4:1", "--protocol", "pck")) == 0


def test_a_recipe_of_an_onnx_teaches_nothing(tmp_path: Path, capsys: CaptureFixture[str]) -> None:
    recipe = tmp_path / "foreign.toml"
    recipe.write_text(
        'schema = "amfac-recipe/1"\nfamily = "simcc-onnx"\nskeleton = "coco-17"\n'
        "[input]\nheight = 64\nwidth = 48\n[simcc]\nsplit_ratio = 2.0\n"
    )
    assert main([str(recipe), "--data", "generated:12", "--out", str(tmp_path / "run")]) == 2
    assert "known by its ONNX only" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(
    tiny_recipe: Path, tmp_path: Path, capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    monkeypatch.setattr("amfac_edge.cli.train._Watcher.epoch_done", interrupted)
    assert main(told(tiny_recipe, out)) == 130
    assert "--resume goes on from" in capsys.readouterr().err
