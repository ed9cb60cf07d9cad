"""Efficient Bridge Attention: EBA-PRNetCC 3.2, Figure 4, equations 1 to 3.

Algorithm 2 of the paper omits the matrix that brings the C/r squeezed entries back to C; it is here, since the weights
need C entries and the printed parameters include it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BridgeAttention"]


class BridgeAttention(nn.Module):
    """Channel weights (B,C,1,1) from the outputs of several convolutions of one block.

    S_i = BN_i(W_i GAP(F_i)), I = sum of S_i, w = sigmoid(W_g Mish(I)); W_i: Ci -> C/r and W_g: C/r -> C, no biases.
    BN of one value a channel needs a training batch of at least two.
    """

    def __init__(self, bridged_channels: Sequence[int], channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1)
        self.squeezes = nn.ModuleList(
            nn.Sequential(nn.Linear(bridged, squeezed, bias=False), nn.BatchNorm1d(squeezed))
            for bridged in bridged_channels
        )
        self.activation = nn.Mish()
        self.generate = nn.Linear(squeezed, channels, bias=False)

    def forward(self, bridged: Sequence[Tensor]) -> Tensor:
        """Maps (B,Ci,Hi,Wi) -> weights (B,C,1,1)."""
        squeezed = [
            squeeze(features.mean(dim=(2, 3))) for squeeze, features in zip(self.squeezes, bridged, strict=True)
        ]
        integrated = torch.stack(squeezed).sum(dim=0)
        return self.generate(self.activation(integrated)).sigmoid()[:, :, None, None]
