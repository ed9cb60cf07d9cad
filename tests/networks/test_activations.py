"""The fused map with a network's own gates and with others: against the paper's formula, written out by hand."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional

from amfac_edge.errors import InputError
from amfac_edge.networks import build_network
from amfac_edge.networks.activations import Gates, fused_activations
from amfac_edge.networks.amfacpose import AmfacPose
from amfac_edge.networks.dgcb import DualGateContextBlock
from amfac_edge.networks.fresh import fresh_network, generated_crops

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from amfac_edge.declared.recipe import Recipe
    from tests.networks.conftest import MakeRecipe

# float32 sums of a few hundred terms of size 1.
CLOSE = 1e-5
GATES: tuple[Gates, ...] = ("own", "mean", "open")


def blocks(network: AmfacPose) -> list[DualGateContextBlock]:
    return [part for part in network.modules() if isinstance(part, DualGateContextBlock)]


def set_gates(network: AmfacPose, bias: float) -> None:
    """Every gate becomes sigmoid(bias), whatever it reads."""
    with torch.no_grad():
        for block in blocks(network):
            for part in (block.context, block.gating):
                part.excite.weight.zero_()
                assert part.excite.bias is not None
                part.excite.bias.fill_(bias)


@pytest.fixture
def tiny(make_recipe: MakeRecipe) -> Recipe:
    return make_recipe()


@pytest.fixture
def network(tiny: Recipe) -> AmfacPose:
    network = fresh_network(tiny, 3)
    assert isinstance(network, AmfacPose)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():  # fresh masks are all near a quarter: these differ between channels, as trained ones do
        for block in blocks(network):
            for part in (block.context, block.gating):
                assert part.excite.bias is not None
                part.excite.bias.copy_(3 * torch.randn(part.excite.bias.shape, generator=generator))
    return network


@pytest.fixture
def images(tiny: Recipe) -> NDArray[np.float32]:
    return generated_crops(tiny, 3, 5).numpy()


def by_hand(network: AmfacPose, images: NDArray[np.float32], gates: Gates) -> NDArray[np.float32]:
    """Mean over the channels of |Mish(BN(W concat(up(F_i) * up(F_i * M_i))))|."""
    pyramid = network.pyramid
    assert pyramid is not None
    stages: list[Tensor] = []
    with torch.no_grad():
        features = network.stem(torch.from_numpy(images))
        for stage in network.stages:
            features = stage(features)
            stages.append(features)
        parts = []
        for stage_map, lateral, gate in zip(stages, pyramid.laterals, blocks(network), strict=True):
            mapped = lateral(stage_map)
            pooled = mapped.mean(dim=(2, 3), keepdim=True)
            mask = gate.context.gate(pooled) * gate.gating.gate(pooled)
            if gates == "mean":
                mask = torch.zeros_like(mask) + mask.mean(dim=1, keepdim=True)
            elif gates == "open":
                mask = torch.ones_like(mask)
            size = stages[-1].shape[2:]
            up = functional.interpolate(mapped, size=size, mode="bilinear", align_corners=False)
            gated = functional.interpolate(mapped * mask, size=size, mode="bilinear", align_corners=False)
            parts.append(up * gated)
        fused = functional.mish(pyramid.fuse(torch.cat(parts, dim=1)))
    return fused.abs().mean(dim=1).numpy()


@pytest.mark.parametrize("gates", GATES)
def test_the_map_is_the_formulas(network: AmfacPose, images: NDArray[np.float32], gates: Gates) -> None:
    found = fused_activations(network, gates=gates)(images)
    assert found.shape == (3, images.shape[2] // 16, images.shape[3] // 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(network, images, gates), rtol=CLOSE, atol=CLOSE)
    assert (found >= 0).all()


def test_open_gates_are_those_of_a_network_whose_masks_are_one(network: AmfacPose, images: NDArray[np.float32]) -> None:
    ones = copy.deepcopy(network)
    set_gates(ones, 100.0)  # its sigmoid is 1 in float32
    assert np.array_equal(fused_activations(ones)(images), fused_activations(network, gates="open")(images))


def test_gates_that_let_all_channels_pass_alike_have_no_effect(network: AmfacPose, images: NDArray[np.float32]) -> None:
    set_gates(network, -0.5)
    own, mean, opened = (fused_activations(network, gates=gates)(images) for gates in GATES)
    np.testing.assert_allclose(own, mean, rtol=CLOSE, atol=CLOSE)
    assert np.abs(own - opened).max() > 0.01


def test_looking_leaves_the_network_as_it_was(network: AmfacPose, images: NDArray[np.float32]) -> None:
    before = network(torch.from_numpy(images))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    own = fused_activations(network)(images)
    assert np.abs(own - fused_activations(network, gates="mean")(images)).max() > 0.01
    after = network(torch.from_numpy(images))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert np.array_equal(own, fused_activations(network)(images))
    assert not any(part._forward_hooks for part in network.modules())


@pytest.mark.parametrize(
    "name", ["amfacpose-r34-384x288-afpn", "amfacpose-r34-384x288-baseline", "eba-prnetcc-r18-128x128"]
)
def test_networks_without_the_block_are_refused(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name)
    message = rf"{name} has no Dual-Gate Context Block .*\n.*afpn = true and dgcb = true"
    with pytest.raises(InputError, match=message):
        fused_activations(network, name=name)
