"""The networks against the papers: parameters and multiply-accumulates of every printed row, to the printed digit."""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from amfac_edge.declared.recipe import PublishedRow, load_recipe, recipe_names
from amfac_edge.networks import Complexity, build_network, count_complexity

if TYPE_CHECKING:
    from tests.networks.conftest import MakeRecipe

# Exact counts of the reconstruction: parameters, multiply-accumulates as printed, and with the transposed convolutions.
# The papers' digits leave room for other networks; these keep this one from drifting within that room.
EXACT = {
    "amfacpose-r18-256x256": (2_353_161, 1_919_617_664, 1_919_617_664),
    "amfacpose-r18-384x288": (2_525_513, 3_237_569_152, 3_237_569_152),
    "amfacpose-r34-256x256": (3_619_989, 3_081_908_800, 3_081_908_800),
    "amfacpose-r34-384x288": (3_792_341, 5_198_883_392, 5_198_883_392),
    "amfacpose-r34-384x288-afpn": (3_505_393, 5_041_379_328, 5_041_379_328),
    "amfacpose-r34-384x288-baseline": (3_284_209, 4_667_633_664, 4_667_633_664),
    "amfacpose-r34-384x288-dgcb": (3_580_273, 5_041_453_056, 5_041_453_056),
    "amfacpose-r34-384x288-scrm": (3_629_409, 5_150_950_464, 5_150_950_464),
    "amfacpose-r34-384x288-se": (3_790_605, 5_151_107_648, 5_151_107_648),
    "eba-prnetcc-r18-256x256": (17_868_593, 2_426_797_568, 3_903_192_576),
    "eba-prnetcc-r18-384x288": (19_392_625, 4_093_459_968, 6_584_876_544),
    "eba-prnetcc-r34-256x256": (28_082_433, 4_842_821_888, 6_319_216_896),
    "eba-prnetcc-r34-384x288": (29_606_465, 8_170_428_672, 10_661_845_248),
    "eba-prnetcc-r34-384x288-slp": (35_012_673, 8_262_342_912, 10_753_759_488),
}
ROWS = [(name, row) for name in recipe_names() for row in load_recipe(name).published if row.params_m is not None]
IDS = [f"{name} {row.table}" for name, row in ROWS]


@functools.cache
def complexity(name: str) -> Complexity:
    recipe = load_recipe(name)
    with torch.device("meta"):
        return count_complexity(build_network(recipe), recipe)


def printed(name: str, millions: float, gflops: float) -> tuple[float, float]:
    """What a paper would print: AMFACPose rounds to one decimal; EBA-PRNetCC truncates, parameters to whole ones."""
    if name.startswith("amfacpose"):
        return float(f"{millions:.1f}"), float(f"{gflops:.1f}")
    return math.floor(millions), math.floor(gflops * 10) / 10


@pytest.mark.parametrize(("name", "row"), ROWS, ids=IDS)
def test_a_network_has_the_printed_parameters_and_gflops(name: str, row: PublishedRow) -> None:
    counted = complexity(name)
    assert printed(name, counted.parameters / 1e6, counted.printed_macs / 1e9) == (row.params_m, row.gflops)


@pytest.mark.parametrize("name", EXACT)
def test_a_network_has_the_reconstructed_counts(name: str) -> None:
    counted = complexity(name)
    assert (counted.parameters, counted.printed_macs, counted.macs) == EXACT[name]


def test_the_parts_of_eba_prnetcc_have_the_reconstructed_parameters() -> None:
    with torch.device("meta"):
        network = build_network("eba-prnetcc-r34-384x288")
    parts = {part: sum(tensor.numel() for tensor in child.parameters()) for part, child in network.named_children()}
    assert (parts["stem"], parts["stages"], parts["deconvs"], parts["final"]) == (9_536, 21_511_856, 4_195_840, 4_369)
    assert parts["head_x"] + parts["head_y"] == 3_884_864
    assert sum(tensor.numel() for name, tensor in network.named_parameters() if ".attention." in name) == 236_720


def test_counting_leaves_the_network_as_it_was(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    network = build_network(recipe).train()
    count_complexity(network, recipe)
    assert network.training
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


def test_rounding_alone_could_not_reproduce_eba_prnetcc() -> None:
    """The reason for truncation: half of its ten digits would be others."""
    rows = [(name, row) for name, row in ROWS if name.startswith("eba")]
    wrong = 0
    for name, row in rows:
        counted = complexity(name)
        wrong += round(counted.parameters / 1e6) != row.params_m
        wrong += round(counted.printed_macs / 1e9, 1) != row.gflops
    assert (len(rows), wrong) == (5, 5)


def test_all_fifteen_printed_rows_were_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(ROWS) == 15
    assert {name for name, _ in ROWS} == set(EXACT)
    lines = [f"\n{'M parameters / G multiply-accumulates':32} {'printed':>9} {'counted':>17}   with deconvolutions"]
    for name, row in ROWS:
        counted = complexity(name)
        figures = f"{counted.parameters / 1e6:7.4f} / {counted.printed_macs / 1e9:6.4f}"
        lines.append(f"{name:32} {row.params_m:10} / {row.gflops}   {figures}   {counted.macs / 1e9:7.4f}")
    with capsys.disabled():
        sys.stdout.write("\n".join([*lines, ""]))
