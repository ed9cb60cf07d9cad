"""EBA-PRNetCC: VISIGRAPP 2024, pp. 133-144, Figures 2 and 3.

Letters: B batch, K joints, H and W of the input crop, k bins a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from amfac_edge.networks.bridge_attention import BridgeAttention
from amfac_edge.networks.layers import MlpHead, SlpHead, conv_norm

if TYPE_CHECKING:
    from amfac_edge.declared.recipe import EbaPrnetCcNetwork

__all__ = ["BridgedBlock", "EbaPrnetCc"]

_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
_BASIC = ("resnet18", "resnet34")
_EXPANSION = 4
_STRIDE = 32


class EbaPrnetCc(nn.Module):
    """The network: normalised RGB crops (B,3,H,W) -> logits (B,K,W·k), (B,K,H·k).

    Args:
        fields: what the recipe says of the network.
        joints: K.
        height: H, a multiple of 32.
        width: W, a multiple of 32.
        bins: (W·k, H·k).
    """

    def __init__(self, fields: EbaPrnetCcNetwork, joints: int, height: int, width: int, bins: tuple[int, int]) -> None:
        super().__init__()
        stem_channels = fields.stage_channels[0]
        self.stem = nn.Sequential(conv_norm(3, stem_channels, 7, 2), nn.Mish(), nn.MaxPool2d(3, 2, padding=1))
        self.stages, out_channels = _stages(fields)
        self.deconvs = _deconvs(fields, out_channels)
        final_in = fields.deconv_channels if fields.deconv_layers else out_channels
        self.final = nn.Conv2d(final_in, joints, fields.final_kernel, padding=fields.final_kernel // 2)
        scale = 2**fields.deconv_layers
        features = (height // _STRIDE * scale) * (width // _STRIDE * scale)
        self.head_x, self.head_y = (_head(fields, features, count) for count in bins)

    def features(self, crops: Tensor) -> Tensor:
        """What the heads read: (B,3,H,W) -> (B,K,H/4·W/4), 3.3."""
        features = self.stem(crops)
        for stage in self.stages:
            features = stage(features)
        return self.final(self.deconvs(features)).flatten(2)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,H,W) -> x logits (B,K,W·k), y logits (B,K,H·k)."""
        features = self.features(crops)
        return self.head_x(features), self.head_y(features)


class BridgedBlock(nn.Module):
    """A basic (two convolutions) or bottleneck (three) residual block with its bridge: (B,C,H,W) -> (B,C',H/s,W/s)."""

    def __init__(self, fields: EbaPrnetCcNetwork, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        if fields.backbone in _BASIC:
            self.convs = nn.ModuleList([conv_norm(in_channels, width, 3, stride), conv_norm(width, width, 3)])
            outputs = [width, width]
        else:
            outputs = [width, width, width * _EXPANSION]
            convs = [
                conv_norm(in_channels, width, 1),
                conv_norm(width, width, 3, stride),
                conv_norm(width, outputs[-1], 1),
            ]
            self.convs = nn.ModuleList(convs)
        self.out_channels = outputs[-1]
        self.activations = nn.ModuleList(nn.Mish() for _ in outputs)
        bridged = outputs if fields.bridge < 0 else outputs[-1 - fields.bridge :]
        self.bridged = len(bridged)
        self.attention = BridgeAttention(bridged, self.out_channels, fields.eba_reduction) if fields.eba else None
        projected = stride != 1 or in_channels != self.out_channels
        self.shortcut = conv_norm(in_channels, self.out_channels, 1, stride) if projected else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H/s,W/s)."""
        outputs = []
        residual = features
        for index, conv in enumerate(self.convs):
            residual = conv(residual)
            if index < len(self.convs) - 1:
                residual = self.activations[index](residual)
            outputs.append(residual)
        if self.attention is not None:
            residual = residual * self.attention(outputs[-self.bridged :])
        return self.activations[-1](residual + self.shortcut(features))


def _stages(fields: EbaPrnetCcNetwork) -> tuple[nn.ModuleList, int]:
    stages = nn.ModuleList()
    in_channels = fields.stage_channels[0]
    for index, (width, blocks) in enumerate(zip(fields.stage_channels, _BLOCKS[fields.backbone], strict=True)):
        stage = nn.Sequential()
        for block in range(blocks):
            stride = 2 if block == 0 and index > 0 else 1
            made = BridgedBlock(fields, in_channels, width, stride)
            stage.append(made)
            in_channels = made.out_channels
        stages.append(stage)
    return stages, in_channels


def _deconvs(fields: EbaPrnetCcNetwork, in_channels: int) -> nn.Sequential:
    """Transposed convolutions that double the size each, with batch-norm and Mish (3.1)."""
    kernel = fields.deconv_kernel
    # The padding pair that makes stride 2 double the size exactly, for kernels 2, 3 and 4.
    padding, output_padding = {2: (0, 0), 3: (1, 1), 4: (1, 0)}[kernel]
    layers: list[nn.Module] = []
    for _ in range(fields.deconv_layers):
        layers += [
            nn.ConvTranspose2d(in_channels, fields.deconv_channels, kernel, 2, padding, output_padding, bias=False),
            nn.BatchNorm2d(fields.deconv_channels),
            nn.Mish(),
        ]
        in_channels = fields.deconv_channels
    return nn.Sequential(*layers)


def _head(fields: EbaPrnetCcNetwork, features: int, bins: int) -> nn.Module:
    return MlpHead(features, fields.hidden, bins) if fields.head == "mlp" else SlpHead(features, bins)
