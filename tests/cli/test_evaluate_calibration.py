"""amfac-eval --reliability and --calibrate-score from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.accuracy import LogitsPredictor
from amfac_edge.cli import evaluate
from amfac_edge.cli.evaluate import main
from amfac_edge.datasets import generated_people
from amfac_edge.keypoints import SimccCode, crop_affines, inverse_affines, transform_points
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.recipe import Recipe

PEOPLE = 60


@pytest.fixture(scope="module")
def people() -> PeopleSet:
    return generated_people(PEOPLE, 1, height=64, width=64)


@pytest.fixture(scope="module")
def data(people: PeopleSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated people as files."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "pictures").mkdir()
    numbers = [int(number) for number in people.image_ids]
    for number in numbers:
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), people.read_image(number))
    boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]], axis=1)
    content = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 64, "height": 64} for number in numbers],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 900.0, "keypoints": points}
            for number, box, points in zip(
                numbers, boxes.tolist(), people.keypoints.reshape(PEOPLE, -1).tolist(), strict=True
            )
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(people.skeleton.joints)}],
    }
    path = folder / "people.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "fresh.pth"
    fresh_checkpoint(tiny_recipe, 0, path)
    return path


@pytest.fixture
def sighted(people: PeopleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of any checkpoint finds joints, the more often the surer it is: a fresh one never does."""
    opened = evaluate._opened

    def replaced(arguments: argparse.Namespace) -> Iterator[LogitsPredictor]:
        with opened(arguments) as predictor:
            assert predictor is not None
            yield LogitsPredictor(predictor.recipe, _Sighted(people, predictor.recipe), trained=predictor.trained)

    import contextlib  # noqa: PLC0415 - beside its one use

    monkeypatch.setattr(evaluate, "_opened", contextlib.contextmanager(replaced))


class _Sighted:
    """Logits for the people in their order; a joint is right with four times its plain score as probability."""

    def __init__(self, people: PeopleSet, recipe: Recipe) -> None:
        affines = inverse_affines(crop_affines(people.boxes, recipe.crop))
        points = transform_points(people.keypoints[:, :, :2], affines)
        rng = np.random.default_rng(2)
        self._scores = rng.uniform(0.02, 0.24, points.shape[:2])
        lost = rng.random(points.shape[:2]) > 4 * self._scores
        size = np.array([recipe.crop.width, recipe.crop.height])
        points[lost] = (points[lost] + size / 2) % size
        self._places = np.clip(
            np.rint((points + 0.5) * recipe.split_ratio - 0.5), 0, np.array(SimccCode.of(recipe).bins) - 1
        )
        self._recipe = recipe
        self._next = 0

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        part = slice(self._next, self._next + len(images))
        self._next += len(images)
        odds = self._scores[part] / (1 - self._scores[part])
        logits = []
        for axis, bins in enumerate(SimccCode.of(self._recipe).bins):
            heights = self._recipe.temperature * np.log(odds * (bins - 1))
            at = np.arange(bins) == self._places[part, :, axis, None]
            logits.append(np.where(at, heights[..., None], 0).astype(np.float32))
        return logits[0], logits[1]


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def _words(data: Path) -> list[object]:
    return ["--data", data, "--images", data.parent / "pictures"]


@pytest.mark.usefixtures("sighted")
def test_a_checkpoint_gets_its_calibration(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, picture = tmp_path / "out.safetensors", tmp_path / "reliability.png"
    before = checkpoint.read_bytes()
    words = [checkpoint, *_words(data), "--calibrate-score", out, "--reliability", picture]
    assert _run(*words) == 0
    text, messages = capsys.readouterr()
    assert f"people: fitted on {PEOPLE // 2} pictures" in text
    assert "expected calibration error, 10 bins" in text
    assert f"saved {out}" in messages
    assert cv2.imread(str(picture)) is not None
    assert checkpoint.read_bytes() == before
    loaded, source = load_checkpoint(out), load_checkpoint(checkpoint)
    assert loaded.score_calibration is not None
    assert loaded.score_calibration.weights_sha256 == source.metadata["weights_sha256"]
    assert loaded.recipe == source.recipe
    assert loaded.trained is False
    # The same again, as JSON; the block is what is in the file.
    assert _run(*words, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["score_calibration"] | {"weights_sha256": source.metadata["weights_sha256"]} == (
        loaded.score_calibration.as_json()
    )
    assert answer["held_out"]["after"]["ece"] < answer["held_out"]["before"]["ece"]
    assert set(answer["log_loss_by_combination"]) == {"min", "product", "geometric mean"}


def test_a_fresh_checkpoint_has_no_score_to_calibrate(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pth"
    assert _run(checkpoint, *_words(data), "--calibrate-score", out, "--pck", 0.001) == 2
    assert "too few to tell a probability" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.usefixtures("sighted")
def test_a_fit_that_is_no_better_is_not_written(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amfac_edge.accuracy.calibration.fit_platt", lambda _scores, _right: (1.0, 20.0))
    out = tmp_path / "out.pth"
    assert _run(checkpoint, *_words(data), "--calibrate-score", out) == 1
    assert "the score is no better on the half that was held out: log loss" in capsys.readouterr().err
    assert not out.exists()


def test_the_diagram_of_a_model_as_it_is(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "reliability.png"
    words = [checkpoint, *_words(data), "--protocol", "pck", "--reliability", picture]
    assert _run(*words) == 0
    assert "calibration error" in capsys.readouterr().out
    assert cv2.imread(str(picture)) is not None
    assert _run(*words, "--json", "--pck", 0.2) == 0
    details: dict[str, Any] = json.loads(capsys.readouterr().out)["details"]["reliability"]
    assert (details["threshold"], details["pictures"], details["joints"]) == (0.2, PEOPLE, PEOPLE * 17)
    assert sum(each[0] for each in details["bins"]) == PEOPLE * 17


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FILE", "--calibrate-score", "o.pth", "--flip"], "--flip with --calibrate-score: it fits in the annotated"),
        (["FILE", "--calibrate-score", "o.pth", "--boxes", "gt"], "--boxes with --calibrate-score"),
        (["FILE", "--calibrate-score", "o.pth", "--bootstrap", "9"], "--bootstrap with --calibrate-score"),
        (["--predictions", "p.json", "--calibrate-score", "o.pth"], "--predictions with --calibrate-score"),
        (["m.onnx", "--calibrate-score", "o.pth"], "m.onnx: the score is calibrated in a checkpoint"),
        (["FILE", "--calibrate-score", "o.onnx"], "o.onnx: no form of checkpoint"),
        (["FILE", "--calibrate-score", "FILE"], "would overwrite what is read from there"),
        (["FILE", "--save-predictions", "FILE"], "would overwrite what is read from there"),
        (["FILE", "--calibrate-score", "o.pth", "--grid", "g.png"], "--grid with --calibrate-score"),
        (["FILE", "--calibrate-score", "o.pth", "--pck", "0"], "PCK at 0"),
    ],
)
def test_what_doesnt_go_together_is_refused(
    checkpoint: Path,
    data: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = checkpoint.read_bytes()
    given = [str(checkpoint) if word == "FILE" else word for word in words]
    assert _run(*given, *_words(data)) == 2
    assert message in capsys.readouterr().err
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.iterdir())
