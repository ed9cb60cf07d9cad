"""[loss] and [training] of a recipe: defaults as printed, faults named, and the JSON reads back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from amfac_edge.declared.recipe import load_recipe, recipe_from_json
from amfac_edge.errors import DeclaredError

WHOLE: dict[str, Any] = load_recipe("amfacpose-r18-256x256").as_json()


def changed(path: str, value: object) -> dict[str, Any]:
    data = copy.deepcopy(WHOLE)
    *tables, key = path.split(".")
    table = data
    for name in tables:
        table = table[name]
    table[key] = value
    return data


@pytest.mark.parametrize(
    ("name", "batch_size", "temperature"), [("amfacpose-r18-256x256", 32, 0.8), ("eba-prnetcc-r18-256x256", 16, 1.0)]
)
def test_what_the_papers_print_is_the_default(name: str, batch_size: int, temperature: float) -> None:
    recipe = load_recipe(name)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.workers) == (140, batch_size, 6)
    assert (training.augmentation.rotation, training.augmentation.scale) == (30.0, (0.7, 1.3))
    assert training.paper.lr == 1e-5
    assert recipe.temperature == temperature


@pytest.mark.parametrize(("family", "temperature"), [("amfacpose", 0.8), ("eba-prnetcc", 1.0)])
def test_a_recipe_that_names_no_temperature_has_its_papers(family: str, temperature: float) -> None:
    plain = {
        "family": family,
        "skeleton": "coco-17",
        "input": {"height": 64, "width": 64},
        "network": {"backbone": "resnet18"},
    }
    assert recipe_from_json(plain, where="mine.toml", default_name="mine").temperature == temperature


def test_a_recipe_written_before_training_existed_still_reads() -> None:
    data = copy.deepcopy(WHOLE)
    del data["loss"], data["training"]
    recipe, whole = recipe_from_json(data, where="old.toml"), load_recipe("amfacpose-r18-256x256")
    assert (recipe.loss, recipe.training) == (whole.loss, whole.training)


def test_the_json_reads_back_what_was_changed() -> None:
    data = changed("training.scratch.lr", 3e-4)
    data["loss"]["joint_weights"] = {"nose": 2.0}
    data["training"]["augmentation"]["scale"] = [0.8, 1.1]
    recipe = recipe_from_json(data, where="mine.toml")
    assert recipe.loss.joint_weights == (("nose", 2.0),)
    assert recipe.training.scratch.lr == 3e-4
    assert recipe.training.augmentation.scale == (0.8, 1.1)
    assert recipe_from_json(recipe.as_json(), where="again.toml") == recipe


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("loss.sigma_bins", 0, "loss.sigma_bins: 0 is not within"),
        ("loss.smoothing", 1.0, "loss.smoothing: 1 is not within"),
        ("loss.mean_over", "some", "loss.mean_over: "),
        ("loss.joint_weights", {"wrist": -1}, "loss.joint_weights.wrist: -1 is not within"),
        ("training.batch_size", 1, "training.batch_size: 1 is not within"),
        ("training.augmentation.scale", [1.3, 0.7], "training.augmentation.scale: .*no range"),
        ("training.augmentation.border", "white", "training.augmentation.border: "),
        ("training.paper.lr", 0, "training.paper.lr: "),
        ("training.scratch.lr", -1, "training.scratch.lr: -1 is not within"),
        ("training.scratch.lr", "fast", "training.scratch.lr: expected a number"),
        ("training.scratch.schedule", "cosin", "training.scratch.schedule: .*did you mean cosine"),
        ("training.scratch.steps", [0.5, 2], "training.scratch.steps: .*no part of the training"),
        ("training.optimizer", "sgd", "training.optimizer: unknown key"),
    ],
)
def test_a_fault_is_named_with_its_key(path: str, value: object, fault: str) -> None:
    with pytest.raises(DeclaredError, match=fault) as raised:
        recipe_from_json(changed(path, value), where="mine.toml")
    assert "faults" not in raised.value.problem
