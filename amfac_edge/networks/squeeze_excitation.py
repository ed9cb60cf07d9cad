"""Squeeze-and-Excitation: AMFACPose 3.4.1, Figure 5 (after Hu et al., CVPR 2018)."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """`X * sigmoid(W2 relu(W1 pool(X)))`: (B,C,H,W) -> (B,C,H,W)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def gate(self, pooled: Tensor) -> Tensor:
        """The gate (B,C,1,1) of a pooled map (B,C,1,1)."""
        return self.excite(self.squeeze(pooled).relu()).sigmoid()

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return features * self.gate(features.mean(dim=(2, 3), keepdim=True))
