"""A recipe becomes an `nn.Module`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.declared.recipe import AmfacPoseNetwork, EbaPrnetCcNetwork, Recipe, load_recipe
from amfac_edge.errors import InputError
from amfac_edge.keypoints import skeleton
from amfac_edge.networks.amfacpose import AmfacPose
from amfac_edge.networks.eba_prnetcc import EbaPrnetCc

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build_network"]


def build_network(recipe: str | Path | Recipe) -> nn.Module:
    """The network of a recipe (its name, the path of a TOML, or a `Recipe`), with fresh weights of torch's own seed.

    Its forward takes normalised RGB crops (B,3,H,W) float32 and returns raw logits `(x (B,K,W·k), y (B,K,H·k))`.

    Raises:
        DeclaredError: unknown or faulty recipe.
        InputError: a recipe of a network that is known by its ONNX only.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    joints = len(skeleton(recipe.skeleton).joints)
    crop = recipe.crop
    if isinstance(recipe.network, AmfacPoseNetwork):
        return AmfacPose(recipe.network, joints, crop.height, crop.width, recipe.bins)
    if isinstance(recipe.network, EbaPrnetCcNetwork):
        return EbaPrnetCc(recipe.network, joints, crop.height, crop.width, recipe.bins)
    raise InputError(
        f"recipe {recipe.name}: its family {recipe.family} has no torch network",
        cure="Hand amfac-export the model's ONNX file; this recipe describes that.",
    )
