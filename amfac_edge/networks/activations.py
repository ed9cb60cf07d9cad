"""What the Dual-Gate Context Blocks (3.3 of AMFACPose) do to the map that a network's final convolution reads.

For pictures like the paper's Figures 9 and 10. The map is the output of the feature pyramid (3.2), after its fusion's
batch-norm and Mish, as the mean over its channels of the absolute values. A block gives F * M with a mask M of one
number for each channel. To see what M does, the network is run again with other masks:

- "mean": every channel of a block has the mean of the block's own mask. As much passes as before; only the choice among
  the channels is gone. The batch-norm behind the blocks was fitted to gated maps, so this is the fair comparison.
- "open": every mask is 1, so that a block changes nothing. All of the pyramid becomes several times as large, which
  the layers behind it never saw; a difference shows that first.

Nothing in the network is changed: hooks look on, and replace the blocks' outputs, while a batch runs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import torch

from amfac_edge.errors import InputError
from amfac_edge.networks.afpn import AdaptiveFeaturePyramid
from amfac_edge.networks.dgcb import DualGateContextBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Activations = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["Gates", "fused_activations"]

Gates = Literal["own", "mean", "open"]
"""Which masks a network runs with: its own, or one of the two replacements above."""


def fused_activations(network: nn.Module, *, gates: Gates = "own", name: str = "this network") -> Activations:
    """The activation of the fused map, on the network's own device, without gradients.

    Args:
        network: in eval mode.
        gates: the masks of its Dual-Gate Context Blocks.
        name: of the network, for the message.

    Returns:
        (B,3,H,W) float32 normalised RGB -> (B,H/16,W/16) float32, each value at least 0.

    Raises:
        InputError: the network has no Dual-Gate Context Block.
    """
    pyramid = next((part for part in network.modules() if isinstance(part, AdaptiveFeaturePyramid)), None)
    if pyramid is None or not pyramid.gates:
        raise InputError(
            f"{name} has no Dual-Gate Context Block that could be switched off",
            cure="Give a checkpoint of a recipe that has it: an AMFACPose with afpn = true and dgcb = true.",
        )
    device = next(network.parameters()).device

    def activations(images: NDArray[np.float32]) -> NDArray[np.float32]:
        seen: list[Tensor] = []

        def keep(_pyramid: nn.Module, _stages: tuple[object, ...], fused: Tensor) -> None:
            seen.append(fused)

        with torch.inference_mode(), contextlib.ExitStack() as hooks:
            hooks.enter_context(pyramid.register_forward_hook(keep))
            for gate in pyramid.gates if gates != "own" else ():
                hooks.enter_context(gate.register_forward_hook(_mean_gate if gates == "mean" else _open_gate))
            network(torch.from_numpy(images).to(device))
            return seen[0].abs().mean(dim=1).cpu().numpy()

    return activations


def _mean_gate(gate: nn.Module, inputs: tuple[Tensor], _gated: Tensor) -> Tensor:
    assert isinstance(gate, DualGateContextBlock)
    (features,) = inputs
    return features * gate.mask(features.mean(dim=(2, 3), keepdim=True)).mean(dim=1, keepdim=True)


def _open_gate(_gate: nn.Module, inputs: tuple[Tensor], _gated: Tensor) -> Tensor:
    return inputs[0]
