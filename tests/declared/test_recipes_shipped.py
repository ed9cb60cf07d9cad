"""Every recipe in `export/` loads, is named after its file, and carries the figures that the papers print."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.library import declared_folder
from amfac_edge.declared.published import load_published
from amfac_edge.declared.recipe import (
    AmfacPoseNetwork,
    EbaPrnetCcNetwork,
    load_recipe,
    recipe_from_json,
    recipe_names,
)

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = [name for name in recipe_names() if name.startswith("rtmpose-")]
NAMES = [name for name in recipe_names() if name not in FOREIGN]


def test_the_published_models_are_there() -> None:
    sizes = ("384x288", "256x256", "128x128")
    families = {
        f"{family}-{r}-{size}" for family in ("amfacpose", "eba-prnetcc") for r in ("r34", "r18") for size in sizes
    }
    ablation = {f"amfacpose-r34-384x288-{last}" for last in ("baseline", "afpn", "dgcb", "scrm", "se")}
    unmade = {"amfacpose-r34-128x128", "eba-prnetcc-r34-128x128"}
    crowdpose = {f"{family}-r18-{size}-crowdpose" for family in ("amfacpose", "eba-prnetcc") for size in sizes[1:]}
    crowdpose.add("amfacpose-r34-384x288-crowdpose")
    assert set(NAMES) == families - unmade | ablation | crowdpose | {"eba-prnetcc-r34-384x288-slp"}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_what_its_name_says(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert f"{recipe.crop.height}x{recipe.crop.width}" in name
    assert isinstance(recipe.network, AmfacPoseNetwork | EbaPrnetCcNetwork)
    assert recipe.network.backbone.replace("resnet", "r") in name.split("-")
    assert recipe.temperature == (0.8 if recipe.family == "amfacpose" else 1.0)
    assert recipe.skeleton == ("crowdpose-14" if name.endswith("-crowdpose") else "coco-17")
    assert recipe.split_ratio == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_a_checkpoint(name: str) -> None:
    recipe = load_recipe(name)
    again = recipe_from_json(json.loads(json.dumps(recipe.as_json())), where="checkpoint")
    assert again == dataclasses.replace(recipe, published=())


@pytest.mark.parametrize("name", NAMES)
def test_published_figures_are_the_printed_ones(name: str) -> None:
    published = load_recipe(name).published
    assert bool(published) == ("128x128" not in name and (not name.endswith("crowdpose") or "r34" in name))
    for claimed in published:
        printed = load_published(claimed.table).row(claimed.row)
        figures = (printed.number("ap"), printed.number("params_m"), printed.number("gflops"))
        assert (claimed.ap, claimed.params_m, claimed.gflops) == figures


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-crowdpose")])
def test_a_crowdpose_recipe_differs_from_its_coco_twin_in_the_joints_alone(name: str) -> None:
    recipe, twin = load_recipe(name), load_recipe(name.removesuffix("-crowdpose"))
    assert recipe == dataclasses.replace(twin, name=name, skeleton="crowdpose-14", published=recipe.published)


def test_the_crowdpose_row_is_table_3s_and_says_what_it_does_not_print() -> None:
    (row,) = load_recipe("amfacpose-r34-384x288-crowdpose").published
    assert (row.table, row.row, row.ap) == ("amfacpose-table3-crowdpose", "AMFACPose ResNet34", 75.3)
    assert (row.params_m, row.gflops) == (None, None)
    assert "does not print the crop's size" in row.note


def test_fifteen_rows_of_fourteen_networks_have_parameters() -> None:
    recipes = [load_recipe(name) for name in NAMES]
    rows = [(recipe.name, row.table, row.row) for recipe in recipes for row in recipe.published if row.params_m]
    assert len(set(rows)) == len(rows) == 15
    assert len({name for name, _, _ in rows}) == 14


def test_each_module_of_the_ablation_joins_in_the_order_of_the_table() -> None:
    def modules(last: str) -> tuple[bool, ...]:
        network = load_recipe(f"amfacpose-r34-384x288{last}").network
        assert isinstance(network, AmfacPoseNetwork)
        return network.afpn, network.dgcb, network.scrm != "none", network.se != "none", any(network.coordconv)

    counts = [modules(last) for last in ("-baseline", "-afpn", "-dgcb", "-scrm", "-se", "")]
    assert counts == [tuple(column < row for column in range(5)) for row in range(6)]


def test_the_contradiction_in_the_eba_paper_is_kept_and_flagged() -> None:
    first, second = load_recipe("eba-prnetcc-r34-256x256").published
    assert (first.ap, second.ap) == (74.1, 74.3)
    assert "74.3" in first.note
    assert "contradicts" in second.note
    row = load_published("eba-prnetcc-table4-backbone").row("ResNet-34 256x256")
    twin = load_published("eba-prnetcc-table1-coco").row("EBA-PRNetCC ResNet-18 384x288")
    assert [row.number(column) for column in ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar")] == [
        twin.number(column) for column in ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar")
    ]


@pytest.mark.parametrize("path", sorted(declared_folder("export").glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_file_begins_with_its_source(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert ("Jiang et al." if path.stem in FOREIGN else "Zakir et al.") in first


@pytest.mark.parametrize("name", FOREIGN)
def test_what_an_rtmpose_file_does_not_say_is_in_its_recipe(name: str) -> None:
    recipe = load_recipe(name)
    assert name == f"rtmpose-{recipe.crop.height}x{recipe.crop.width}"
    assert (recipe.family, recipe.skeleton, recipe.published) == ("simcc-onnx", "coco-17", ())
    assert (recipe.crop.padding, recipe.crop.pixel_centres) == (1.25, False)
    assert (recipe.split_ratio, recipe.bin_centres, recipe.temperature) == (2, False, 0.1)
    # MMPose states them in 0..255.
    assert [255 * value for value in recipe.mean] == pytest.approx([123.675, 116.28, 103.53])
    assert [255 * value for value in recipe.std] == pytest.approx([58.395, 57.12, 57.375])
