"""A recipe's own faults: each is named with its key, and a recipe of foreign weights needs no network."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from amfac_edge.declared.recipe import ForeignNetwork, load_recipe, recipe_from_json
from amfac_edge.errors import DeclaredError

WHOLE: dict[str, Any] = load_recipe("amfacpose-r18-128x128").as_json()
EBA: dict[str, Any] = load_recipe("eba-prnetcc-r18-128x128").as_json()


def changed(table: str, key: str, value: object, whole: dict[str, Any] = WHOLE) -> dict[str, Any]:
    data = copy.deepcopy(whole)
    (data[table] if table else data)[key] = value
    return data


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (changed("", "family", "amfacpos"), "family: .*did you mean amfacpose"),
        (changed("", "schema", "amfac-recipe/2"), "schema: "),
        (changed("", "skeleton", 17), "skeleton: expected a string, got 17"),
        (changed("input", "height", 100), "must be a multiple of 16"),
        (changed("input", "height", "128"), 'input.height: expected a whole number, got "128"'),
        (changed("input", "std", [0.2, 0.2, 0]), "input.std: .*not above 0"),
        (changed("input", "mean", [0.5]), "input.mean: expected a list of 3 numbers"),
        (changed("simcc", "split_ratio", 2.001), "simcc.split_ratio: .*no whole number of bins"),
        (changed("simcc", "temperature", 0), "simcc.temperature: 0 is not within"),
        (changed("network", "backbone", "resnet50"), "network.backbone: "),
        (changed("network", "scrm_kernel", 4), "network.scrm_kernel: 4 is even"),
        (changed("network", "afpn", value=False), "dgcb = true needs afpn = true"),
        (changed("network", "coordconv", [True]), "network.coordconv: expected a list of 3"),
        (changed("network", "stage_channels", [64, 0, 256, 512]), "network.stage_channels: "),
        (changed("network", "embeding", 2), "network.embeding: unknown key; did you mean embedding"),
        (changed("network", "bridge", 2, EBA), "network.bridge: .*a basic block has only 1"),
        (changed("input", "width", 48, EBA), "must be a multiple of 32"),
        ([], "expected a table"),
    ],
)
def test_a_fault_is_named_with_its_key(data: object, fault: str) -> None:
    with pytest.raises(DeclaredError, match=fault) as raised:
        recipe_from_json(data, where="mine.toml")
    assert raised.value.problem.startswith("mine.toml: ")


def test_foreign_weights_need_no_network() -> None:
    data = {
        "family": "simcc-onnx",
        "name": "rtmpose",
        "skeleton": "coco-17",
        "input": {"height": 256, "width": 192, "pixel_centres": False},
        "simcc": {"split_ratio": 2.0, "bin_centres": False},
    }
    recipe = recipe_from_json(data, where="rtmpose.toml")
    assert recipe.network == ForeignNetwork()
    assert recipe.bins == (384, 512)
    assert recipe_from_json(recipe.as_json(), where="again") == recipe


def test_an_unknown_recipe_shows_near_names() -> None:
    with pytest.raises(DeclaredError, match='unknown recipe "amfacpose-r34-384x228"') as raised:
        load_recipe("amfacpose-r34-384x228")
    assert "amfacpose-r34-384x288" in raised.value.cure
