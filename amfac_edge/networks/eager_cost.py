"""What a network costs in eager PyTorch: every operator that it calls, and the bytes that pass through them.

Eager PyTorch runs one operator after the other, each of which reads its inputs from memory and writes its outputs
there. Views (reshape, transpose, ...) move nothing and don't count.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from torch import nn

    from amfac_edge.declared.recipe import Recipe

__all__ = ["EagerCost", "eager_cost"]

# They return a view of their input, though their schema doesn't say so.
_VIEWS = ("_unsafe_view", "_reshape_alias", "reshape")


@dataclass(frozen=True)
class EagerCost:
    """Of one forward pass at batch 1.

    Attributes:
        operators: calls that compute or move something.
        bytes: inputs, weights and outputs of these calls, float32, each tensor counted once a call.
    """

    operators: int
    bytes: int


def eager_cost(network: nn.Module, recipe: Recipe) -> EagerCost:
    """Count by one forward pass over a crop of the recipe's size, on the meta device: no arithmetic is done."""
    network = copy.deepcopy(network).to("meta").eval()
    image = torch.empty(1, 3, recipe.crop.height, recipe.crop.width, device="meta")
    with torch.inference_mode(), _Counting() as counting:
        network(image)
    return EagerCost(counting.operators, counting.bytes)


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = 0
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's own
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket.__name__ not in _VIEWS:
            tensors = {id(leaf): leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)}
            self.operators += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        return result
