"""Adaptive Feature Pyramid Network: AMFACPose 3.2, Figure 3, equations 5 to 9."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from amfac_edge.networks.dgcb import DualGateContextBlock
from amfac_edge.networks.layers import conv_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AdaptiveFeaturePyramid"]


class AdaptiveFeaturePyramid(nn.Module):
    """The four stages' maps, each brought to one width and to the last one's size, gated, and fused.

    "Upsampled to the size of F4" in the paper is a down-sampling of the first three, since stage 4 is the smallest;
    only that agrees with the printed parameters. The fusion's batch-norm and Mish are ours: without them its 1x1
    convolution and the final one would be one linear map.
    """

    def __init__(self, stage_channels: Sequence[int], width: int, dgcb_reduction: int | None) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in stage_channels)
        self.gates = nn.ModuleList(
            DualGateContextBlock(width, dgcb_reduction) for _ in stage_channels if dgcb_reduction is not None
        )
        fused = width * len(stage_channels)
        self.fuse = conv_norm(fused, fused, 1)
        self.activation = nn.Mish()

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """C1..C4, (B,Ci,Hi,Wi) each -> (B,4·width,H4,W4)."""
        size = stages[-1].shape[2:]
        resized = []
        for index, (stage, lateral) in enumerate(zip(stages, self.laterals, strict=True)):
            features = lateral(stage)
            fitted = _resized(features, size)
            if self.gates:
                fitted = fitted * _resized(self.gates[index](features), size)
            resized.append(fitted)
        return self.activation(self.fuse(torch.cat(resized, dim=1)))


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
