"""A trained checkpoint as it is published: kernels and matrices in half precision, if no joint minds.

python -m amfac_edge.training.release runs/r18/best.safetensors export/checkpoints/name.safetensors
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import AmfacError, GateError
from amfac_edge.files import refuse_overwriting, writable_folder
from amfac_edge.keypoints import SimccCode
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.checkpoint import copy_checkpoint
from amfac_edge.networks.fresh import generated_crops
from amfac_edge.networks.running import network_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from amfac_edge.declared.recipe import Recipe

__all__ = ["Released", "main", "release_checkpoint"]

_CROPS = 32
_BUDGET_PX = 1.0


@dataclass(frozen=True)
class Released:
    """What halving did on generated crops.

    Attributes:
        joints: that were compared.
        moved: how many of them lie in another bin.
        farthest: pixels of the crop that one of them moved.
        score_change: the largest of a joint's score.
    """

    joints: int
    moved: int
    farthest: float
    score_change: float


def release_checkpoint(source: Path, target: Path) -> Released:
    """Write the weights of `source`, kernels and matrices as float16, and its facts to `target`.

    Raises:
        CheckpointError: can't be read.
        GateError: more than one joint in a hundred moves farther than 1 pixel; nothing was written.
        OutputError: `target` is `source`, or can't be written to.
    """
    refuse_overwriting([target], [source])
    writable_folder(target.parent)
    loaded = load_checkpoint(source)
    crops = generated_crops(loaded.recipe, _CROPS, 0).numpy()
    whole = _decoded(loaded.network, loaded.recipe, crops)
    for parameter in loaded.network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half().float()
    halved = _decoded(loaded.network, loaded.recipe, crops)
    shifts = np.abs(whole[0] - halved[0]).max(axis=-1)
    released = Released(
        joints=shifts.size,
        moved=int((shifts > 0).sum()),
        farthest=float(shifts.max()),
        score_change=float(np.abs(whole[1] - halved[1]).max()),
    )
    if np.percentile(shifts, 99) > _BUDGET_PX or not np.isfinite(released.score_change):
        raise GateError(
            f"{source}: half precision moves {released.moved} of {released.joints} joints, by {released.farthest:g} "
            "pixels at most",
            cure="Publish it in float32, as it is.",
        )
    copy_checkpoint(source, target, {}, halved=True)
    return released


def _decoded(
    network: nn.Module, recipe: Recipe, crops: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return SimccCode.of(recipe).decode(*network_logits(network)(crops), recipe.temperature)


def main(arguments: Sequence[str] | None = None) -> int:
    """Release a checkpoint and say what halving did; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m amfac_edge.training.release", description="Write a checkpoint as it is published."
    )
    parser.add_argument("source", type=Path, help="a trained checkpoint")
    parser.add_argument("target", type=Path, help="the file to write, .safetensors")
    options = parser.parse_args(arguments)
    try:
        released = release_checkpoint(options.source, options.target)
    except AmfacError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(
        f"{options.target}: {options.target.stat().st_size:,} bytes; of {released.joints} joints on generated crops "
        f"{released.moved} moved, by {released.farthest:g} pixels at most; scores by {released.score_change:.1g}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
