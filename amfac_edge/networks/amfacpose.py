"""AMFACPose: Electronics 2025, 14, 2107, Figures 1 and 2.

The layer table and the evidence for every choice that the paper leaves open are in docs/networks.md.
Letters: B batch, K joints, H and W of the input crop, k bins a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from amfac_edge.networks.afpn import AdaptiveFeaturePyramid
from amfac_edge.networks.coordconv import CoordConv2d
from amfac_edge.networks.layers import MlpHead, conv_norm
from amfac_edge.networks.scrm import SpatialChannelRefinement
from amfac_edge.networks.squeeze_excitation import SqueezeExcitation

if TYPE_CHECKING:
    from amfac_edge.declared.recipe import AmfacPoseNetwork

__all__ = ["AmfacPose", "AttentiveBlock"]

_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
_STRIDE = 16


class AmfacPose(nn.Module):
    """The network: normalised RGB crops (B,3,H,W) -> logits (B,K,W·k), (B,K,H·k).

    Args:
        fields: what the recipe says of the network.
        joints: K.
        height: H, a multiple of 16.
        width: W, a multiple of 16.
        bins: (W·k, H·k).
    """

    def __init__(self, fields: AmfacPoseNetwork, joints: int, height: int, width: int, bins: tuple[int, int]) -> None:
        super().__init__()
        self.joints = joints
        self.stem = _stem(fields)
        self.stages = _stages(fields)
        reduction = fields.dgcb_reduction if fields.dgcb else None
        self.pyramid = (
            AdaptiveFeaturePyramid(fields.stage_channels, fields.afpn_width, reduction) if fields.afpn else None
        )
        in_channels = fields.afpn_width * len(fields.stage_channels) if fields.afpn else fields.stage_channels[-1]
        out_channels = joints * fields.embedding
        self.final = nn.Conv2d(in_channels, out_channels, fields.final_kernel, padding=fields.final_kernel // 2)
        features = fields.embedding * (height // _STRIDE) * (width // _STRIDE)
        self.head_x = MlpHead(features, fields.hidden, bins[0])
        self.head_y = MlpHead(features, fields.hidden, bins[1])

    def features(self, crops: Tensor) -> Tensor:
        """What the heads read: (B,3,H,W) -> (B,K,d·H/16·W/16), equation 12."""
        stages = []
        features = self.stem(crops)
        for stage in self.stages:
            features = stage(features)
            stages.append(features)
        fused = self.pyramid(stages) if self.pyramid is not None else stages[-1]
        return self.final(fused).unflatten(1, (self.joints, -1)).flatten(2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) -> x logits (B,K,W·k), y logits (B,K,H·k)."""
        features = self.features(crops)
        return self.head_x(features), self.head_y(features)


class AttentiveBlock(nn.Module):
    """A basic residual block of two depthwise separable convolutions and its attention: (B,C,H,W) -> (B,C',H/s,W/s)."""

    def __init__(self, fields: AmfacPoseNetwork, in_channels: int, channels: int, stride: int, *, last: bool) -> None:
        super().__init__()
        self.conv1 = _separable(fields, in_channels, channels, stride)
        self.activation1 = nn.Mish()
        self.conv2 = _separable(fields, channels, channels, 1)
        self.attention = _attention(fields, channels, last=last)
        projected = stride != 1 or in_channels != channels
        self.shortcut = conv_norm(in_channels, channels, 1, stride) if projected else nn.Identity()
        self.activation2 = nn.Mish()

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H/s,W/s)."""
        residual = self.attention(self.conv2(self.activation1(self.conv1(features))))
        return self.activation2(residual + self.shortcut(features))


def _stem(fields: AmfacPoseNetwork) -> nn.Sequential:
    """Three 3x3 convolutions in place of ResNet's 7x7, the first with stride 2, some of them CoordConv (3.1)."""
    channels = (3, *fields.stem_channels)
    layers: list[nn.Module] = []
    for index, is_coordconv in enumerate(fields.coordconv):
        stride = 2 if index == 0 else 1
        if is_coordconv:
            conv = CoordConv2d(channels[index], channels[index + 1], stride)
            layers += [nn.Sequential(conv, nn.BatchNorm2d(channels[index + 1])), nn.Mish()]
        else:
            layers += [conv_norm(channels[index], channels[index + 1], 3, stride), nn.Mish()]
    return nn.Sequential(*layers)


def _stages(fields: AmfacPoseNetwork) -> nn.ModuleList:
    """Four stages at 1/2, 1/4, 1/8 and 1/16 of the input: no max-pool, and stride 1 in the first stage."""
    stages = nn.ModuleList()
    in_channels = fields.stem_channels[-1]
    for index, (channels, blocks) in enumerate(zip(fields.stage_channels, _BLOCKS[fields.backbone], strict=True)):
        stage = nn.Sequential()
        for block in range(blocks):
            stride = 2 if block == 0 and index > 0 else 1
            stage.append(AttentiveBlock(fields, in_channels, channels, stride, last=block == blocks - 1))
            in_channels = channels
        stages.append(stage)
    return stages


def _separable(fields: AmfacPoseNetwork, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """Depthwise 3x3, then pointwise 1x1, without an activation between them (3.1.2)."""
    depthwise = conv_norm(in_channels, in_channels, 3, stride, groups=in_channels)
    if not fields.depthwise_norm:
        del depthwise[1]
    return nn.Sequential(depthwise, conv_norm(in_channels, channels, 1))


def _attention(fields: AmfacPoseNetwork, channels: int, *, last: bool) -> nn.Sequential:
    present = {"block": True, "stage": last, "none": False}
    modules = nn.Sequential()
    if present[fields.scrm]:
        modules.append(SpatialChannelRefinement(channels, fields.scrm_kernel))
    if present[fields.se]:
        modules.append(SqueezeExcitation(channels, fields.se_reduction))
    return modules if fields.attention_order == "scrm-se" else nn.Sequential(*reversed(modules))
