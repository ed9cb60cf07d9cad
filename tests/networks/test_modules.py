"""Each figure of the papers against the same thing computed by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from amfac_edge.declared.recipe import EbaPrnetCcNetwork
from amfac_edge.networks.afpn import AdaptiveFeaturePyramid
from amfac_edge.networks.bridge_attention import BridgeAttention
from amfac_edge.networks.coordconv import CoordConv2d
from amfac_edge.networks.dgcb import DualGateContextBlock
from amfac_edge.networks.eba_prnetcc import BridgedBlock
from amfac_edge.networks.layers import MlpHead, SlpHead
from amfac_edge.networks.scrm import SpatialChannelRefinement
from amfac_edge.networks.squeeze_excitation import SqueezeExcitation

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _doubles() -> Iterator[None]:
    """Everything here in float64 and without gradients, so that 1e-12 separates rounding from a wrong formula."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        yield
    torch.set_default_dtype(before)


def assert_same(ours: Tensor, by_hand: Tensor) -> None:
    torch.testing.assert_close(ours, by_hand, rtol=1e-12, atol=1e-12)


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def mish(number: float) -> float:
    return number * math.tanh(math.log1p(math.exp(number)))


def unsettle(module: nn.Module) -> nn.Module:
    """Random weights and batch-norm statistics everywhere, in eval mode: zeros and ones would hide a mistake."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.normal_()
    return module.eval()


def normalised(values: Tensor, norm: nn.Module) -> Tensor:
    """Batch-norm with its running statistics over axis 1, written out."""
    state = norm.state_dict()
    shape = (1, -1, *(1,) * (values.dim() - 2))
    mean, variance, weight, bias = (state[key].view(shape) for key in ("running_mean", "running_var", "weight", "bias"))
    return (values - mean) / (variance + 1e-5).sqrt() * weight + bias


def test_coordconv_runs_from_minus_one_to_one_with_the_ends_included() -> None:
    coordinates = CoordConv2d(1, 1).coordinates(height=3, width=5)
    assert_same(coordinates[0, 0], torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]] * 3))
    assert_same(coordinates[0, 1], torch.tensor([[-1.0] * 5, [0.0] * 5, [1.0] * 5]))


def test_coordconv_scales_and_shifts_each_axis_by_its_own_numbers() -> None:
    layer = CoordConv2d(1, 1)
    layer.load_state_dict(
        {
            "scale_x": torch.tensor(2.0),
            "shift_x": torch.tensor(0.5),
            "scale_y": torch.tensor(3.0),
            "shift_y": torch.tensor(-1.0),
            "conv.weight": torch.zeros(1, 3, 3, 3),
        }
    )
    coordinates = layer.coordinates(height=2, width=2)
    assert_same(coordinates[0], torch.tensor([[[-1.5, 2.5]] * 2, [[-4.0] * 2, [2.0] * 2]]))


def test_coordconv_appends_x_then_y_after_the_input() -> None:
    layer = CoordConv2d(2, 1, stride=2)
    weight = torch.zeros(1, 4, 3, 3)
    weight[0, :, 1, 1] = torch.tensor([1.0, 10.0, 100.0, 1000.0])  # only the centre: the output is a weighted sum
    layer.conv.weight.copy_(weight)
    features = torch.randn(1, 2, 5, 5)
    by_hand = (
        features[:, :1]
        + 10 * features[:, 1:]
        + 100 * torch.linspace(-1, 1, 5)
        + 1000 * torch.linspace(-1, 1, 5)[:, None]
    )
    assert_same(layer(features), by_hand[:, :, ::2, ::2])


def test_squeeze_excitation() -> None:
    layer = unsettle(SqueezeExcitation(2, reduction=2))
    state = {name: tensor.flatten().tolist() for name, tensor in layer.state_dict().items()}
    features = torch.randn(1, 2, 3, 4)
    first, second = features.mean(dim=(0, 2, 3)).tolist()
    squeezed = state["squeeze.weight"][0] * first + state["squeeze.weight"][1] * second + state["squeeze.bias"][0]
    hidden = max(squeezed, 0.0)
    gates = [sigmoid(state["excite.weight"][i] * hidden + state["excite.bias"][i]) for i in range(2)]
    assert_same(layer(features), features * torch.tensor(gates).view(1, 2, 1, 1))


def test_squeeze_excitation_keeps_one_channel_where_the_reduction_would_leave_none() -> None:
    assert SqueezeExcitation(4, reduction=16)(torch.randn(1, 4, 2, 2)).shape == (1, 4, 2, 2)


def test_dual_gates_multiply_two_masks_of_one_form() -> None:
    layer = DualGateContextBlock(4, reduction=2)
    unsettle(layer)
    features = torch.randn(2, 4, 3, 3)
    context, gating = layer.context(features), layer.gating(features)  # each is features * mask
    assert_same(layer(features), context * gating / features)
    assert not torch.allclose(context, gating)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_spatial_channel_refinement(kernel: int) -> None:
    layer = SpatialChannelRefinement(6, kernel)
    unsettle(layer)
    features = torch.randn(2, 6, 4, 5)
    pooled = nn.functional.pad(features.mean(dim=(2, 3)), (kernel // 2, kernel // 2))
    taps = layer.channel_conv.weight.flatten()
    convolved = torch.stack([pooled[:, c : c + kernel] @ taps for c in range(6)], dim=1)
    channel_gate = torch.sigmoid(normalised(convolved, layer.channel_norm))
    padded = nn.functional.pad(features, (1, 1, 1, 1))
    spatial = sum(
        padded[:, :, y : y + 4, x : x + 5] * layer.spatial_conv.weight[:, 0, y, x].view(1, 6, 1, 1)
        for y in range(3)
        for x in range(3)
    )
    spatial_gate = torch.sigmoid(normalised(torch.as_tensor(spatial), layer.spatial_norm))
    assert_same(layer(features), features * channel_gate[:, :, None, None] * spatial_gate)


@pytest.mark.parametrize("channels", [64, 512])
def test_spatial_channel_refinement_has_13_parameters_a_channel_and_3(channels: int) -> None:
    layer = SpatialChannelRefinement(channels, kernel=3)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 13 * channels + 3


def test_the_pyramid_takes_the_middle_of_each_block_of_places() -> None:
    """A bilinear reduction by 8, 4 or 2 reads the four places around a block's centre; by 1 it is the identity."""
    pyramid = AdaptiveFeaturePyramid([1] * 4, width=1, dgcb_reduction=None)
    for lateral in pyramid.laterals:
        assert isinstance(lateral, nn.Conv2d)
        assert lateral.bias is not None
        lateral.weight.fill_(1)
        lateral.bias.zero_()
    pyramid.fuse = nn.Sequential(nn.Identity())
    pyramid.add_module("activation", nn.Identity())  # the resized maps themselves are to be seen
    stages = [torch.randn(1, 1, 2 * factor, 3 * factor) for factor in (8, 4, 2, 1)]
    fused = pyramid(stages)
    for stage, ours, factor in zip(stages, fused[0], (8, 4, 2), strict=False):
        middle = factor // 2 - 1
        blocks = stage[0, 0].view(2, factor, 3, factor)[:, middle : middle + 2, :, middle : middle + 2]
        assert_same(ours, blocks.mean(dim=(1, 3)))
    assert_same(fused[0, 3], stages[3][0, 0])


def test_the_pyramid_multiplies_its_maps_by_the_gated_ones() -> None:
    """Equations 6 to 8: resized features times resized gated features, so the features enter squared."""
    pyramid = AdaptiveFeaturePyramid([3, 2], width=4, dgcb_reduction=2)
    unsettle(pyramid)
    stages = [torch.randn(1, 3, 8, 8), torch.randn(1, 2, 4, 4)]
    parts = []
    for stage, lateral, gate in zip(stages, pyramid.laterals, pyramid.gates, strict=True):
        features = lateral(stage)
        mask = gate(features)[:, :, :1, :1] / features[:, :, :1, :1]
        resized = nn.functional.avg_pool2d(features, 2) if features.shape[2] == 8 else features
        parts.append(resized * resized * mask)
    fusion, norm = pyramid.fuse
    assert isinstance(fusion, nn.Conv2d)
    fused = torch.einsum("oi,bihw->bohw", fusion.weight[:, :, 0, 0], torch.cat(parts, dim=1))
    fused = normalised(fused, norm)
    assert_same(pyramid(stages), fused * torch.tanh(nn.functional.softplus(fused)))


@pytest.mark.parametrize("bridged", [1, 2, 3])
def test_bridge_attention_follows_equations_1_to_3(bridged: int) -> None:
    layer = BridgeAttention([4] * bridged, channels=4, reduction=2)
    unsettle(layer)
    maps = [torch.randn(2, 4, 3, 3) for _ in range(bridged)]
    integrated = torch.zeros(2, 2)
    for index, features in enumerate(maps):
        weight = layer.get_parameter(f"squeezes.{index}.0.weight")
        integrated += normalised(features.mean(dim=(2, 3)) @ weight.T, layer.get_submodule(f"squeezes.{index}.1"))
    activated = integrated.clone().apply_(mish)
    by_hand = (activated @ layer.generate.weight.T).apply_(sigmoid)
    assert_same(layer(maps), by_hand[:, :, None, None])


@pytest.mark.parametrize(
    ("backbone", "bridge", "bridged"),
    [
        ("resnet34", -1, 2),
        ("resnet34", 0, 1),
        ("resnet34", 1, 2),
        ("resnet50", -1, 3),
        ("resnet50", 0, 1),
        ("resnet50", 1, 2),
    ],
)
def test_a_bridged_block_weighs_its_last_convolution(backbone: str, bridge: int, bridged: int) -> None:
    fields = EbaPrnetCcNetwork(backbone=backbone, eba_reduction=2, bridge=bridge)
    block = BridgedBlock(fields, in_channels=4, width=4, stride=2)
    unsettle(block)
    assert block.attention is not None
    assert len(block.attention.squeezes) == bridged
    features = torch.randn(2, 4, 6, 6)
    outputs, residual = [], features
    for conv in block.convs:
        residual = conv(residual)
        outputs.append(residual)
        residual = residual * torch.tanh(nn.functional.softplus(residual))
    outputs[:-1] = [output * torch.tanh(nn.functional.softplus(output)) for output in outputs[:-1]]
    total = outputs[-1] * block.attention(outputs[-bridged:]) + block.shortcut(features)
    assert_same(block(features), total * torch.tanh(nn.functional.softplus(total)))


def test_heads_share_their_weights_among_the_joints() -> None:
    features = torch.randn(2, 3, 5)
    mlp, slp = MlpHead(5, 4, 7), SlpHead(5, 7)
    hidden = features @ mlp.hidden.weight.T + mlp.hidden.bias
    by_hand = hidden.apply_(mish) @ mlp.bins.weight.T + mlp.bins.bias
    assert_same(mlp(features), by_hand)
    assert_same(slp(features), features @ slp.bins.weight.T + slp.bins.bias)
    assert mlp(features).shape == (2, 3, 7)
