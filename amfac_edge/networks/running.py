"""A network as a function of arrays, wherever it lies: what is scored, checked or drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    Logits = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

__all__ = ["network_logits"]


def network_logits(network: nn.Module) -> Logits:
    """`network` in float32, without gradients, on its own device.

    Args:
        network: in eval mode.

    Returns:
        (B,3,H,W) float32 normalised RGB -> x logits (B,K,W·k), y logits (B,K,H·k), float32.
    """
    device = next(network.parameters()).device

    def logits(images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            x, y = network(torch.from_numpy(images).to(device))
        return x.cpu().numpy(), y.cpu().numpy()

    return logits
