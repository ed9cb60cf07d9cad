"""Spatial-Channel Refinement Module: AMFACPose 3.4.2, Figure 6."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SpatialChannelRefinement"]


class SpatialChannelRefinement(nn.Module):
    """`X * Xc * Xs`: (B,C,H,W) -> (B,C,H,W).

    Xc = sigmoid(BN(Conv1D(pool(X)))) gates channels, a convolution along the channel axis without reduction;
    Xs = sigmoid(BN(depthwise3x3(X))) gates places. BN of the channel gate is over the C channels, which with one value
    a channel needs a training batch of at least two.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channel_conv = nn.Conv1d(1, 1, kernel, padding=(kernel - 1) // 2, bias=False)
        self.channel_norm = nn.BatchNorm1d(channels)
        self.spatial_conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.spatial_norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        pooled = features.mean(dim=(2, 3))
        channel_gate = self.channel_norm(self.channel_conv(pooled[:, None, :])[:, 0, :]).sigmoid()
        spatial_gate = self.spatial_norm(self.spatial_conv(features)).sigmoid()
        return features * channel_gate[:, :, None, None] * spatial_gate
