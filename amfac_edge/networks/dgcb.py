"""Dual-Gate Context Block: AMFACPose 3.3, Figure 4."""

from __future__ import annotations

from torch import Tensor, nn

from amfac_edge.networks.squeeze_excitation import SqueezeExcitation

__all__ = ["DualGateContextBlock"]


class DualGateContextBlock(nn.Module):
    """`X * Mc(X) * Mg(X)`: (B,C,H,W) -> (B,C,H,W).

    The context mask Mc and the gating mask Mg have one form, sigmoid(W2 relu(W1 pool(X))), and weights of their own.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.context = SqueezeExcitation(channels, reduction)
        self.gating = SqueezeExcitation(channels, reduction)

    def mask(self, pooled: Tensor) -> Tensor:
        """Mc * Mg, (B,C,1,1), of a pooled map (B,C,1,1)."""
        return self.context.gate(pooled) * self.gating.gate(pooled)

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C,H,W)."""
        return features * self.mask(features.mean(dim=(2, 3), keepdim=True))
