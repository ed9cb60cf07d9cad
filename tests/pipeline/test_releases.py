"""The released weights: each has its card, is what the card says, and earns the card's figures where the data are."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from amfac_edge.accuracy import ground_truth_boxes, predict_people, score_people
from amfac_edge.datasets import load_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.keypoints import skeleton
from amfac_edge.networks import load_checkpoint
from amfac_edge.pipeline.evaluating import predictor_from_checkpoint

FOLDER = Path(__file__).resolve().parents[2] / "export" / "checkpoints"
RELEASES = sorted(FOLDER.glob("*.safetensors"))
SECTIONS = ("Trained on", "Terms", "How it was trained", "Figures", "The score", "Limits", "Not for")


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def release(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def figures_of(release: Path) -> dict[str, Any]:
    """The card's figures as data: its one block of JSON."""
    blocks = re.findall(r"^```json\n(.*?)^```", release.with_suffix(".md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    figures: dict[str, Any] = json.loads(blocks[0])
    return figures


@pytest.mark.skipif(not RELEASES, reason="no weights here: a source archive leaves them out")
def test_both_networks_are_released() -> None:
    families = {load_checkpoint(path).recipe.family for path in RELEASES}
    assert families == {"amfacpose", "eba-prnetcc"}
    assert {path.stem for path in FOLDER.glob("*.md")} - {"README"} == {path.stem for path in RELEASES}


def test_the_card_is_of_this_file(release: Path) -> None:
    card = release.with_suffix(".md").read_text()
    assert hashlib.sha256(release.read_bytes()).hexdigest() in card
    assert f"{release.stat().st_size:,} bytes" in card
    assert [section for section in SECTIONS if f"\n## {section}\n" not in card] == []


def test_the_weights_are_trained_calibrated_and_of_a_declared_recipe(release: Path) -> None:
    loaded = load_checkpoint(release)
    assert loaded.trained is True
    assert loaded.score_calibration is not None
    declared = load_recipe(loaded.recipe.name)
    for field in ("family", "skeleton", "crop", "split_ratio", "bin_centres", "mean", "std", "temperature", "network"):
        assert getattr(loaded.recipe, field) == getattr(declared, field), field


def test_the_small_network_stays_small(release: Path) -> None:
    if load_checkpoint(release).recipe.family == "amfacpose":
        assert release.stat().st_size <= 10_000_000


@pytest.mark.slow
def test_the_cards_figures_are_earned(release: Path, shared_data: Path) -> None:
    folder = shared_data / "lspet"
    predictor = predictor_from_checkpoint(release)
    people = load_people(
        folder / "lspet_val.json", images=folder / "lspet_val.tar", skeleton=skeleton(predictor.recipe.skeleton)
    )
    predictions = predict_people(predictor, people, ground_truth_boxes(people)).predictions
    told = figures_of(release)["lspet_val"]
    for protocol in ("pck", "crowdpose"):
        found = score_people(people, predictions, protocol).metrics
        for name, value in told.items():
            if name in found:
                # Another processor sums in another order: a joint at a tie of two bins may fall to the other one.
                assert found[name] == pytest.approx(value, abs=0.002), name
