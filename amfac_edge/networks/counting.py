"""Parameters and multiply-accumulates, counted as the papers count them.

The papers print multiply-accumulates as "GFLOPs". Convolutions and linear layers count; batch-norm, activations,
pooling, resizing and gating products don't. EBA-PRNetCC's printed figure leaves its transposed convolutions out too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from amfac_edge.declared.recipe import Recipe

__all__ = ["Complexity", "count_complexity"]

_COUNTED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class Complexity:
    """What a network costs for one crop.

    Attributes:
        parameters: all learnable numbers.
        macs: multiply-accumulates of convolutions and linear layers, transposed ones included.
        transposed_macs: those of transposed convolutions alone.
    """

    parameters: int
    macs: int
    transposed_macs: int

    @property
    def printed_macs(self) -> int:
        """What the papers count as FLOPs: without transposed convolutions (AMFACPose has none)."""
        return self.macs - self.transposed_macs


def count_complexity(network: nn.Module, recipe: Recipe) -> Complexity:
    """Count by one forward pass over a crop of the recipe's size, on the meta device: no arithmetic is done."""
    counts = {"all": 0, "transposed": 0}

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        macs = _layer_macs(layer, inputs[0], output)
        counts["all"] += macs
        counts["transposed"] += macs if isinstance(layer, nn.ConvTranspose2d) else 0

    # A copy, since `to` moves a module in place and the caller's weights would be gone.
    network = copy.deepcopy(network).to("meta").eval()
    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, _COUNTED)]
    with torch.no_grad():
        network(torch.empty(1, 3, recipe.crop.height, recipe.crop.width, device="meta"))
    for hook in hooks:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Complexity(parameters, counts["all"], counts["transposed"])


def _layer_macs(layer: nn.Module, features: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, nn.ConvTranspose2d):
        return features.numel() * layer.out_channels // layer.groups * prod(layer.kernel_size)
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return output.numel() * layer.in_channels // layer.groups * prod(layer.kernel_size)
    raise TypeError(type(layer))
