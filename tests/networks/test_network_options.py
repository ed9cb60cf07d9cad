"""Every field of a recipe does what it says to the network, and no parameter is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from amfac_edge.declared.recipe import ForeignNetwork, Recipe, recipe_from_json
from amfac_edge.errors import DeclaredError, InputError
from amfac_edge.networks import build_network
from amfac_edge.networks.afpn import AdaptiveFeaturePyramid
from amfac_edge.networks.amfacpose import AttentiveBlock
from amfac_edge.networks.bridge_attention import BridgeAttention
from amfac_edge.networks.coordconv import CoordConv2d
from amfac_edge.networks.dgcb import DualGateContextBlock
from amfac_edge.networks.scrm import SpatialChannelRefinement
from amfac_edge.networks.squeeze_excitation import SqueezeExcitation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.networks.conftest import MakeRecipe

AMFACPOSE: dict[str, dict[str, Any]] = {
    "full": {},
    "resnet34": {"backbone": "resnet34"},
    "baseline": {"coordconv": [False] * 3, "scrm": "none", "se": "none", "afpn": False, "dgcb": False},
    "no dgcb": {"dgcb": False},
    "scrm per stage": {"scrm": "stage"},
    "se per stage": {"se": "stage"},
    "both per stage": {"scrm": "stage", "se": "stage"},
    "se first": {"attention_order": "se-scrm"},
    "d = 2": {"embedding": 2},
    "every coordconv": {"coordconv": [True] * 3},
    "no depthwise norm": {"depthwise_norm": False},
    "wide kernels": {"scrm_kernel": 5, "final_kernel": 1},
}
EBA_PRNETCC: dict[str, dict[str, Any]] = {
    "full": {},
    "no attention": {"eba": False},
    "q = 0": {"bridge": 0},
    "slp": {"head": "slp"},
    "no deconv": {"deconv_layers": 0},
    "kernel 2": {"deconv_kernel": 2},
    "kernel 3": {"deconv_kernel": 3},
    "resnet50": {"backbone": "resnet50"},
    "resnet50, q = 1": {"backbone": "resnet50", "bridge": 1},
}
CASES = [("amfacpose", name) for name in AMFACPOSE] + [("eba-prnetcc", name) for name in EBA_PRNETCC]


def recipe_of(make_recipe: MakeRecipe, family: str, case: str) -> Recipe:
    return make_recipe(family, **(AMFACPOSE if family == "amfacpose" else EBA_PRNETCC)[case])


def count(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


@pytest.mark.parametrize(("family", "case"), CASES)
def test_logits_have_their_shapes_and_gradients_reach_every_parameter(
    make_recipe: MakeRecipe, family: str, case: str
) -> None:
    recipe = recipe_of(make_recipe, family, case)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_network(recipe).train()
        # Every ReLU is open, so that no gradient means no connection, not a chance of the weights.
        for name, parameter in network.named_parameters():
            if name.endswith("squeeze.bias"):
                parameter.data.fill_(5)
        x_logits, y_logits = network(torch.randn(2, 3, 64, 96))
    assert (x_logits.shape, y_logits.shape) == ((2, 17, 192), (2, 17, 128))
    # Squares, since a plain sum is blind to whatever a following batch-norm centres.
    (x_logits.square().sum() + y_logits.square().sum()).backward()
    dead = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not dead


@pytest.mark.parametrize(
    ("case", "coordconvs", "scrm", "se", "pyramids", "gates"),
    [
        ("full", 2, 8, 8 + 8, 1, 4),  # each gate holds two squeeze-and-excitations
        ("resnet34", 2, 16, 16 + 8, 1, 4),
        ("baseline", 0, 0, 0, 0, 0),
        ("no dgcb", 2, 8, 8, 1, 0),
        ("scrm per stage", 2, 4, 8 + 8, 1, 4),
        ("se per stage", 2, 8, 4 + 8, 1, 4),
        ("every coordconv", 3, 8, 8 + 8, 1, 4),
    ],
)
def test_a_switch_decides_which_modules_are_there(
    make_recipe: MakeRecipe, case: str, coordconvs: int, scrm: int, se: int, pyramids: int, gates: int
) -> None:
    network = build_network(recipe_of(make_recipe, "amfacpose", case))
    kinds = (CoordConv2d, SpatialChannelRefinement, SqueezeExcitation, AdaptiveFeaturePyramid, DualGateContextBlock)
    assert [count(network, kind) for kind in kinds] == [coordconvs, scrm, se, pyramids, gates]


def test_per_stage_attention_sits_in_the_last_block_of_each_stage(make_recipe: MakeRecipe) -> None:
    network = build_network(recipe_of(make_recipe, "amfacpose", "both per stage"))
    blocks = [module for module in network.modules() if isinstance(module, AttentiveBlock)]
    assert [len(block.attention) for block in blocks] == [0, 2] * 4


@pytest.mark.parametrize(
    ("order", "kinds"),
    [
        ("scrm-se", [SpatialChannelRefinement, SqueezeExcitation]),
        ("se-scrm", [SqueezeExcitation, SpatialChannelRefinement]),
    ],
)
def test_the_order_of_the_attentions(make_recipe: MakeRecipe, order: str, kinds: list[type[nn.Module]]) -> None:
    network = build_network(make_recipe(attention_order=order))
    attention = network.get_submodule("stages.0.0.attention")
    assert [type(module) for module in attention.children()] == kinds


@pytest.mark.parametrize(
    ("case", "attentions", "deconvs"),
    [
        ("full", 8, 3),
        ("no attention", 0, 3),
        ("no deconv", 8, 0),
        ("resnet50", 16, 3),
    ],
)
def test_eba_switches(make_recipe: MakeRecipe, case: str, attentions: int, deconvs: int) -> None:
    network = build_network(recipe_of(make_recipe, "eba-prnetcc", case))
    assert (count(network, BridgeAttention), count(network, nn.ConvTranspose2d)) == (attentions, deconvs)


@pytest.mark.parametrize("case", EBA_PRNETCC)
def test_each_deconvolution_doubles_the_size(make_recipe: MakeRecipe, case: str) -> None:
    network = build_network(recipe_of(make_recipe, "eba-prnetcc", case)).eval()
    places = 64 // 4 * 96 // 4 if case != "no deconv" else 64 // 32 * 96 // 32
    with torch.no_grad():
        assert network.features(torch.zeros(1, 3, 64, 96)).shape == (1, 17, places)  # type: ignore[operator]


def test_each_joint_has_d_values_at_each_place_in_joint_order(make_recipe: MakeRecipe) -> None:
    network = build_network(make_recipe(embedding=2)).eval()
    final = network.get_submodule("final")
    assert isinstance(final, nn.Conv2d)
    assert final.bias is not None
    with torch.no_grad():
        final.weight.zero_()
        final.bias.copy_(torch.arange(34.0))
        features = network.features(torch.zeros(1, 3, 64, 96))  # type: ignore[operator]
    assert features.shape == (1, 17, 2 * 4 * 6)
    for joint in range(17):
        assert features[0, joint].tolist() == [2.0 * joint] * 24 + [2.0 * joint + 1] * 24


def test_the_skeleton_decides_the_joints(make_recipe: MakeRecipe) -> None:
    network = build_network(make_recipe(skeleton="crowdpose-14")).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 96))[0].shape == (1, 14, 192)


def test_a_recipe_may_be_a_name_or_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'family = "amfacpose"\nskeleton = "coco-17"\n[input]\nheight = 64\nwidth = 64\n'
        '[network]\nbackbone = "resnet18"\nhidden = 4\n'
    )
    with torch.device("meta"):
        assert build_network(own).get_parameter("head_x.bins.weight").shape == (128, 4)
        assert build_network(str(own)).get_parameter("head_y.bins.weight").shape == (128, 4)
        assert build_network("amfacpose-r18-256x256").get_parameter("head_x.bins.weight").shape == (512, 256)


def test_an_unknown_recipe_is_named_with_its_neighbours() -> None:
    with pytest.raises(
        DeclaredError, match=r'unknown recipe "amfacpose-r18-256x265"\s+did you mean .*amfacpose-r18-256x256'
    ):
        build_network("amfacpose-r18-256x265")


def test_a_foreign_network_is_no_torch_network() -> None:
    data = {"family": "simcc-onnx", "skeleton": "coco-17", "input": {"height": 256, "width": 192}}
    recipe = recipe_from_json(data, where="a test", default_name="rtmpose")
    assert isinstance(recipe.network, ForeignNetwork)
    with pytest.raises(InputError, match=r"rtmpose: its family simcc-onnx has no torch network\s+Hand amfac-export"):
        build_network(recipe)
