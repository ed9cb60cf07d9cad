"""CoordConv2d with learnable coordinates: AMFACPose 3.1.1, Algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CoordConv2d"]


class CoordConv2d(nn.Module):
    """A 3x3 convolution that also sees where it is: (B,C,H,W) -> (B,C',H/s,W/s).

    Two channels are appended to the input, `scale_x * X + shift_x` and `scale_y * Y + shift_y`, where X and Y run from
    -1 to 1 over the columns and rows, endpoints included. The four numbers are learnt; they start at 1, 0, 1, 0.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels + 2, out_channels, 3, stride, padding=1, bias=False)
        self.scale_x = nn.Parameter(torch.ones(()))
        self.shift_x = nn.Parameter(torch.zeros(()))
        self.scale_y = nn.Parameter(torch.ones(()))
        self.shift_y = nn.Parameter(torch.zeros(()))

    def coordinates(self, height: int, width: int) -> Tensor:
        """The two appended channels, (1,2,height,width)."""
        dtype, device = self.scale_x.dtype, self.scale_x.device
        columns = self.scale_x * torch.linspace(-1, 1, width, dtype=dtype, device=device) + self.shift_x
        rows = self.scale_y * torch.linspace(-1, 1, height, dtype=dtype, device=device) + self.shift_y
        return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])[None]

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,C',H/s,W/s)."""
        batch, _, height, width = features.shape
        coordinates = self.coordinates(height, width).expand(batch, 2, height, width)
        return self.conv(torch.cat([features, coordinates], dim=1))
