"""The weights that a training begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from amfac_edge.errors import CheckpointError
from amfac_edge.networks import build_network, load_checkpoint, renamed_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from amfac_edge.declared.recipe import Recipe

__all__ = ["first_weights"]

_SHOWN = 4


def first_weights(
    recipe: Recipe, seed: int, init: Path | None = None, key_map: Path | None = None
) -> tuple[nn.Module, str]:
    """A network to train, and a sentence on where its weights are from.

    Args:
        recipe: of the network.
        seed: of fresh weights; torch's global random state is left as it was.
        init: a checkpoint, of another input size or skeleton perhaps: what has the same name and shape is taken over,
            the rest (its heads, then) begins fresh.
        key_map: TOML that renames the checkpoint's keys; with it the checkpoint may be of any network.

    Raises:
        CheckpointError: can't be read, or nothing of it but single vectors fits.
        DeclaredError: the key map is faulty.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(recipe)
    if init is None:
        return network, f"begins with fresh weights, seed {seed}"
    fresh = network.state_dict()
    whose = ""
    if key_map is None:
        loaded = load_checkpoint(init)
        given, whose = loaded.network.state_dict(), f" ({loaded.recipe.name})"
    else:
        given = renamed_tensors(init, key_map)
    fitting = {name: value for name, value in given.items() if name in fresh and fresh[name].shape == value.shape}
    if not any(value.ndim > 1 for value in fitting.values()):
        raise CheckpointError(
            f"{init}: none of its weights{whose} fits {recipe.name}",
            cure="Begin with a checkpoint of the same family and backbone, or without --init.",
        )
    network.load_state_dict(fresh | fitting)
    rest = [name for name in fresh if name not in fitting]
    said = f"begins with {len(fitting)} of {len(fresh)} tensors of {init.name}{whose}"
    if rest:
        said += f"; fresh: {', '.join(rest[:_SHOWN])}" + (
            f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
        )
    return network, said
