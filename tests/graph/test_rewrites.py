"""Every rewrite leaves the logits as they were, whatever the recipe switches on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from amfac_edge.declared.recipe import Recipe, recipe_from_json
from amfac_edge.graph import rewrites
from amfac_edge.graph.rewrites import deployable
from amfac_edge.networks import build_network

AMFACPOSE: dict[str, object] = {
    "backbone": "resnet18",
    "stem_channels": [4, 4, 8],
    "stage_channels": [8, 16, 16, 24],
    "afpn_width": 8,
    "hidden": 16,
    "se_reduction": 4,
}
EBA: dict[str, object] = {"backbone": "resnet18", "stage_channels": [8, 16, 16, 32], "deconv_channels": 8, "hidden": 16}


def recipe(family: str, fields: dict[str, object]) -> Recipe:
    data = {"family": family, "skeleton": "coco-17", "input": {"height": 64, "width": 96}, "network": fields}
    return recipe_from_json(data, where="test", default_name="test")


def seasoned(network: nn.Module) -> nn.Module:
    """`network` with statistics, affine weights and biases that are far from those of a fresh one."""
    torch.manual_seed(11)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.3, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    for name, parameter in network.named_parameters():
        if name.endswith(("scale_x", "shift_x", "scale_y", "shift_y")):
            nn.init.normal_(parameter)
    return network.eval()


CASES = {
    "full": ("amfacpose", AMFACPOSE),
    "resnet34": ("amfacpose", AMFACPOSE | {"backbone": "resnet34"}),
    "se first": ("amfacpose", AMFACPOSE | {"attention_order": "se-scrm"}),
    "attention a stage": ("amfacpose", AMFACPOSE | {"scrm": "stage", "se": "stage"}),
    "scrm alone, wide": ("amfacpose", AMFACPOSE | {"se": "none", "scrm_kernel": 7}),
    "se alone": ("amfacpose", AMFACPOSE | {"scrm": "none"}),
    "no gates in the pyramid": ("amfacpose", AMFACPOSE | {"dgcb": False}),
    "baseline": (
        "amfacpose",
        AMFACPOSE | {"afpn": False, "dgcb": False, "scrm": "none", "se": "none", "coordconv": [False] * 3},
    ),
    "all coordconv, d of 2": ("amfacpose", AMFACPOSE | {"coordconv": [True] * 3, "embedding": 2}),
    "no norm after depthwise": ("amfacpose", AMFACPOSE | {"depthwise_norm": False}),
    "eba": ("eba-prnetcc", EBA),
    "eba, slp": ("eba-prnetcc", EBA | {"head": "slp"}),
    "eba, bottleneck": ("eba-prnetcc", EBA | {"backbone": "resnet50", "bridge": 1}),
    "eba, no bridge": ("eba-prnetcc", EBA | {"eba": False, "deconv_layers": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_the_same(case: str) -> None:
    wanted = recipe(*CASES[case])
    network = seasoned(build_network(wanted))
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found = deployable(network, 64, 96)(images)
        # The reference in float64, so that what is left is the rewritten network's own rounding.
        reference = network.double()(images.double())
    for logits, expected in zip(found, reference, strict=True):
        assert (logits - expected).abs().max() <= 2e-5 * (expected.max() - expected.min())
    for name, value in network.float().state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("case", ["full", "eba"])
def test_algebra_is_exact(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = recipe(*CASES[case])
    network = seasoned(build_network(wanted)).double()
    monkeypatch.setattr(nn.Module, "float", lambda module: module)  # leave the rewritten network in float64
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        for logits, expected in zip(deployable(network, 64, 96)(images), network(images), strict=True):
            assert (logits - expected).abs().max() <= 1e-11 * (expected.max() - expected.min())


def test_no_norm_and_no_interpolation_is_left() -> None:
    network = deployable(build_network(recipe("amfacpose", AMFACPOSE)), 64, 96)
    kinds = {type(module).__name__ for module in network.modules()}
    assert kinds.isdisjoint({"BatchNorm1d", "BatchNorm2d", "CoordConv2d", "SpatialChannelRefinement", "Conv1d"})
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_halving_is_bilinear(factor: int) -> None:
    features = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    expected = torch.nn.functional.interpolate(features, scale_factor=1 / factor, mode="bilinear", align_corners=False)
    found = rewrites._halving(3, factor)(features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
