"""A checkpoint with the calibration of its score in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.keypoints import SCORE_CALIBRATION_KEY
from amfac_edge.networks import copy_checkpoint, load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.keypoints import ScoreCalibration

__all__ = ["write_calibrated"]


def write_calibrated(
    source: Path, path: Path, calibration: ScoreCalibration, *, recipe: str | None = None, key_map: Path | None = None
) -> None:
    """Write a copy of a checkpoint, its weights bit for bit, with a calibration that names their digest; atomic.

    Args:
        source: the checkpoint.
        path: ends with .pth, .pt or .safetensors.
        calibration: takes the place of one that is there.
        recipe: name or TOML, where the file's own is not wanted.
        key_map: TOML that renames an author's keys.

    Raises:
        CheckpointError: the checkpoint can't be read.
        OutputError: the place can't be written to.
    """
    stated = None if recipe is None else load_recipe(recipe)
    digest = load_checkpoint(source, recipe=stated, key_map=key_map).metadata["weights_sha256"]
    block = replace(calibration, weights_sha256=digest).as_json()
    copy_checkpoint(source, path, {SCORE_CALIBRATION_KEY: block}, recipe=stated, key_map=key_map)
