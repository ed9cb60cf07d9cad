"""Layers that both networks share.

Letters: B batch, C channels, H and W rows and columns of a feature map.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MlpHead", "SlpHead", "conv_norm"]


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias, padded so that only its stride changes the size, and its batch-norm.

    (B,C,H,W) -> (B,C',H/s,W/s).
    """
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=(kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class MlpHead(nn.Module):
    """Linear, Mish, Linear: one joint's features (B,K,F) to logits over bins (B,K,bins); shared by the joints."""

    def __init__(self, features: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.activation = nn.Mish()
        self.bins = nn.Linear(hidden, bins)

    def forward(self, features: Tensor) -> Tensor:
        """(B,K,F) -> (B,K,bins)."""
        return self.bins(self.activation(self.hidden(features)))


class SlpHead(nn.Module):
    """One Linear: (B,K,F) to logits over bins (B,K,bins); EBA-PRNetCC, Table 3."""

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.bins = nn.Linear(features, bins)

    def forward(self, features: Tensor) -> Tensor:
        """(B,K,F) -> (B,K,bins)."""
        return self.bins(features)
