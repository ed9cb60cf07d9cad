"""Exact rewrites of a trained network into a cheaper one with the same outputs (docs/networks.md, "Deployment").

`deployable(network)` returns a copy; the original is left alone. Each rewrite is a class of its own whose docstring
says the identity that it uses; weights are combined in float64 and rounded once. Letters: B batch, C channels, H and W
rows and columns.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from amfac_edge.networks.afpn import AdaptiveFeaturePyramid
from amfac_edge.networks.bridge_attention import BridgeAttention
from amfac_edge.networks.coordconv import CoordConv2d
from amfac_edge.networks.scrm import SpatialChannelRefinement
from amfac_edge.networks.squeeze_excitation import SqueezeExcitation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.networks.dgcb import DualGateContextBlock

__all__ = ["deployable"]


def deployable(network: nn.Module, height: int, width: int) -> nn.Module:
    """A copy of `network` in eval mode, rewritten for crops of `height` x `width`.

    The result takes normalised RGB (B,3,height,width) and returns the same logits as `network`, up to float32 rounding.
    """
    rewritten = copy.deepcopy(network).eval().double()
    _give_sizes(rewritten, height, width)
    rewritten = _rewritten(rewritten)
    return rewritten.float().requires_grad_(requires_grad=False)


class _ConvPlusMap(nn.Module):
    """A CoordConv as a plain convolution plus a constant map.

    The convolution of its coordinate channels (and the batch-norm's shift) depends on the weights and the size only.
    """

    def __init__(self, coordconv: CoordConv2d, norm: nn.BatchNorm2d, height: int, width: int) -> None:
        super().__init__()
        fused = fuse_conv_bn_eval(coordconv.conv, norm)
        channels = fused.in_channels - 2
        stride, padding = cast("tuple[int, int]", fused.stride), cast("tuple[int, int]", fused.padding)
        self.conv = nn.Conv2d(channels, fused.out_channels, 3, stride, padding, bias=False, dtype=fused.weight.dtype)
        self.conv.weight = nn.Parameter(fused.weight[:, :channels].detach().clone())
        coordinates = coordconv.coordinates(height, width)
        constant = functional.conv2d(coordinates, fused.weight[:, channels:], fused.bias, stride, padding)
        self.map = nn.Buffer(constant.detach())

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H/s,W/s)."""
        return self.conv(features) + self.map


class _MergedGates(nn.Module):
    """SCRM then SE as one channel gate.

    With y = u * Xs and pool(u * Xc * Xs) = Xc * pool(y), the output is y * (Xc * SE(Xc * pool(y))), one full-size
    product fewer. The channel convolution of SCRM becomes a banded C x C matrix with its batch-norm folded in.
    """

    def __init__(self, scrm: SpatialChannelRefinement, excitation: SqueezeExcitation | None) -> None:
        super().__init__()
        self.channel_gate = _banded(scrm)
        self.spatial_gate = fuse_conv_bn_eval(scrm.spatial_conv, scrm.spatial_norm)
        self.excitation = excitation

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        gate = self.channel_gate(features.mean(dim=(2, 3), keepdim=True)).sigmoid()
        refined = features * self.spatial_gate(features).sigmoid()
        if self.excitation is not None:
            gate = gate * self.excitation.gate(gate * refined.mean(dim=(2, 3), keepdim=True))
        return refined * gate


class _ReducedPyramid(nn.Module):
    """The pyramid with its resizing first, and each gate applied to a square.

    Resizing goes before the 1x1 laterals (both are linear, and bilinear weights sum to 1), as a strided convolution;
    and up(F) * up(F * M) = up(F)^2 * M, M being constant over the plane, with pool(F) = lateral(pool(C)).
    """

    def __init__(self, pyramid: AdaptiveFeaturePyramid) -> None:
        super().__init__()
        last = len(pyramid.laterals) - 1
        self.halvings = nn.ModuleList(
            _halving(cast("nn.Conv2d", lateral).in_channels, 2 ** (last - index))
            for index, lateral in enumerate(pyramid.laterals)
        )
        self.laterals = pyramid.laterals
        self.gates = pyramid.gates
        self.fuse = pyramid.fuse
        self.activation = pyramid.activation

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """C1..C4 -> (B,4·width,H4,W4)."""
        resized = []
        for index, (stage, lateral) in enumerate(zip(stages, self.laterals, strict=True)):
            fitted = lateral(self.halvings[index](stage))
            if self.gates:
                gate = cast("DualGateContextBlock", self.gates[index])
                fitted = fitted * fitted * gate.mask(lateral(stage.mean(dim=(2, 3), keepdim=True)))
            resized.append(fitted)
        return self.activation(self.fuse(torch.cat(resized, dim=1)))


def _halving(channels: int, factor: int) -> nn.Module:
    """Bilinear down-sampling by an even factor without align_corners: the mean of the two middle samples on each axis.

    As a depthwise convolution (zeros, then a 2x2 block of quarters) it needs no slice, which on the CPU would leave the
    blocked layout of its neighbours.
    """
    if factor == 1:
        return nn.Identity()
    offset = factor // 2 - 1
    size = offset + 2
    conv = nn.Conv2d(channels, channels, size, factor, groups=channels, bias=False, dtype=torch.float64)
    kernel = torch.zeros(size, size, dtype=torch.float64)
    kernel[offset:, offset:] = 0.25
    conv.weight = nn.Parameter(kernel.repeat(channels, 1, 1, 1))
    return conv


def _rewritten(module: nn.Module) -> nn.Module:
    """Rewrite children first, then the module itself."""
    for name, child in module.named_children():
        setattr(module, name, _rewritten(child))
    if isinstance(module, nn.Sequential):
        return _rewritten_sequence(module)
    if isinstance(module, AdaptiveFeaturePyramid):
        return _ReducedPyramid(module)
    if isinstance(module, BridgeAttention):
        return _folded_bridge(module)
    return module


def _rewritten_sequence(sequence: nn.Sequential) -> nn.Module:
    layers = list(sequence)
    match layers:
        case [CoordConv2d() as conv, nn.BatchNorm2d() as norm]:
            return _ConvPlusMap(conv, norm, *cast("tuple[int, int]", conv.input_size))
        case [SpatialChannelRefinement() as scrm]:
            return _MergedGates(scrm, None)
        case [SpatialChannelRefinement() as scrm, SqueezeExcitation() as excitation]:
            return _MergedGates(scrm, excitation)
        case [SqueezeExcitation() as excitation, SpatialChannelRefinement() as scrm]:
            return nn.Sequential(excitation, _MergedGates(scrm, None))
    return nn.Sequential(*_without_depthwise_bias(_folded_norms(layers)))


def _folded_norms(layers: list[nn.Module]) -> list[nn.Module]:
    folded: list[nn.Module] = []
    for layer in layers:
        before = folded[-1] if folded else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d | nn.ConvTranspose2d):
            transposed = isinstance(before, nn.ConvTranspose2d)
            folded[-1] = fuse_conv_bn_eval(before, layer, transpose=transposed)
        elif isinstance(layer, nn.Sequential) and len(layer) == 1:
            folded.append(layer[0])
        else:
            folded.append(layer)
    return folded


def _without_depthwise_bias(layers: list[nn.Module]) -> list[nn.Module]:
    """A constant per channel before a 1x1 convolution is a constant behind it: W (x + b) = W x + W b."""
    match layers:
        case [nn.Conv2d() as depthwise, nn.Conv2d() as pointwise] if depthwise.bias is not None:
            assert pointwise.kernel_size == (1, 1)
            assert pointwise.bias is not None
            shift = pointwise.weight[:, :, 0, 0] @ depthwise.bias
            pointwise.bias = nn.Parameter((pointwise.bias + shift).detach())
            depthwise.bias = None
    return layers


def _banded(scrm: SpatialChannelRefinement) -> nn.Conv2d:
    norm = scrm.channel_norm
    channels = norm.num_features
    scale, shift = _affine(norm)
    band = functional.conv1d(torch.eye(channels, dtype=scale.dtype)[:, None], scrm.channel_conv.weight, padding="same")[
        :, 0
    ].T
    gate = nn.Conv2d(channels, channels, 1, dtype=scale.dtype)
    gate.weight = nn.Parameter((scale[:, None] * band)[:, :, None, None].detach())
    gate.bias = nn.Parameter(shift.detach())
    return gate


def _folded_bridge(bridge: BridgeAttention) -> BridgeAttention:
    for index, squeeze in enumerate(bridge.squeezes):
        linear, norm = cast("nn.Sequential", squeeze)
        assert isinstance(linear, nn.Linear)
        assert isinstance(norm, nn.BatchNorm1d)
        scale, shift = _affine(norm)
        folded = nn.Linear(linear.in_features, linear.out_features, dtype=scale.dtype)
        folded.weight = nn.Parameter((scale[:, None] * linear.weight).detach())
        folded.bias = nn.Parameter(shift.detach())
        bridge.squeezes[index] = folded
    return bridge


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _give_sizes(network: nn.Module, height: int, width: int) -> None:
    """Run the network once, so that every CoordConv knows the size of the map that it sees."""

    def remember(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layer.input_size = tuple(inputs[0].shape[2:])  # type: ignore[assignment]

    hooks = [layer.register_forward_pre_hook(remember) for layer in network.modules() if isinstance(layer, CoordConv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, height, width, dtype=torch.float64))
    for hook in hooks:
        hook.remove()
