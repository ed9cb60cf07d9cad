"""A checkpoint's gates, on and off: what the attention sheet is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from amfac_edge.declared.recipe import AmfacPoseNetwork, load_recipe
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.activations import fused_activations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe

    Activations = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["Gates", "gates_from_checkpoint"]


@dataclass(frozen=True)
class Gates:
    """One network with and without the work of its Dual-Gate Context Blocks.

    Attributes:
        recipe: of the network.
        gated: (B,3,H,W) float32 normalised RGB -> (B,H/16,W/16), the activation of the fused map.
        ungated: the same with each block's mask replaced by its mean over the channels.
        trained: what the checkpoint says of its weights.
        caption: which tensor it is, and how the gates are switched off.
    """

    recipe: Recipe
    gated: Activations
    ungated: Activations
    trained: bool | None
    caption: str


def gates_from_checkpoint(path: Path, *, recipe: str | None = None, key_map: Path | None = None) -> Gates:
    """The gates of a checkpoint's network, on the GPU if torch has one, in float32.

    Args:
        path: of the checkpoint.
        recipe: name or TOML, where the file's own is not wanted.
        key_map: TOML that renames an author's keys.

    Raises:
        CheckpointError: can't be read, or fits no recipe.
        InputError: its network has no Dual-Gate Context Block.
    """
    stated = None if recipe is None else load_recipe(recipe)
    loaded = load_checkpoint(path, recipe=stated, key_map=key_map)
    network = loaded.network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    name = f"{path}: its recipe, {loaded.recipe.name},"
    gated, ungated = fused_activations(network, name=name), fused_activations(network, gates="mean", name=name)
    return Gates(loaded.recipe, gated, ungated, loaded.trained, _caption(loaded.recipe))


def _caption(recipe: Recipe) -> str:
    fields = recipe.network
    assert isinstance(fields, AmfacPoseNetwork)
    channels = fields.afpn_width * len(fields.stage_channels)
    return (
        f"Activation: the feature pyramid's output (fused, after batch-norm and Mish), mean over its {channels} "
        f"channels of the absolute values, {recipe.crop.height // 16}x{recipe.crop.width // 16} places, bilinear "
        "between them. Without DGCB: the same weights, each block's mask replaced by its mean over the channels, so "
        "that as much passes and only the choice among channels is gone. People chosen by their annotations, from "
        "the fewest visible joints to all, in annotated boxes; enlarged is where the difference is largest in the box."
    )
