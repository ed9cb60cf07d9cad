"""A checkpoint as a predictor: the torch network itself, as it was trained, without an export between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from amfac_edge.accuracy import LogitsPredictor
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.running import network_logits

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["predictor_from_checkpoint"]


def predictor_from_checkpoint(
    path: Path, *, recipe: str | None = None, key_map: Path | None = None, flip: bool = False
) -> LogitsPredictor:
    """The predictor of a checkpoint, on the GPU if torch has one, in float32.

    Args:
        path: of the checkpoint.
        recipe: name or TOML, where the file's own is not wanted.
        key_map: TOML that renames an author's keys.
        flip: average with the mirrored crop, in SimCC space.

    Raises:
        CheckpointError: can't be read, or fits no recipe.
    """
    stated = None if recipe is None else load_recipe(recipe)
    loaded = load_checkpoint(path, recipe=stated, key_map=key_map)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logits = network_logits(loaded.network.to(device))
    return LogitsPredictor(
        loaded.recipe, logits, flip=flip, trained=loaded.trained, calibration=loaded.score_calibration
    )
