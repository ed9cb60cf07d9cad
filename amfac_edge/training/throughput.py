"""How many training crops this machine reads, cuts and varies in a second, without any network.

python -m amfac_edge.training.throughput RECIPE --data people.json --images pictures.tar
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.datasets import generated_people, load_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import AmfacError
from amfac_edge.keypoints import skeleton
from amfac_edge.training.batches import BatchLoader
from amfac_edge.training.crops import CropSet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["crops_per_second", "main"]


def crops_per_second(crops: CropSet, *, workers: int, batch_size: int, seconds: float) -> list[float]:
    """The pace over each of the rounds that fit into `seconds` after a first batch; a round is about half a second."""
    loader = BatchLoader(crops, batch_size=batch_size, workers=workers, seed=0)
    paces: list[float] = []
    epoch, ends = 0, None
    while True:
        taken, began = 0, time.perf_counter()
        for batch in loader.epoch(epoch):
            now = time.perf_counter()
            if ends is None:  # workers have started, files are open
                ends, taken, began = now + seconds, 0, now
                continue
            taken += len(batch.indices)
            if now - began >= 0.5:  # noqa: PLR2004 - long enough for queues to even out
                paces.append(taken / (now - began))
                taken, began = 0, now
            if now >= ends:
                return paces or [taken / max(now - began, 1e-9)]
        epoch += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each number of workers; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m amfac_edge.training.throughput", description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, help="annotations (default: generated people)")
    parser.add_argument("--images", type=Path, help="folder or tar")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S")
    parser.add_argument("--plain", action="store_true", help="without augmentation")
    parser.add_argument("--all", action="store_true", help="with every augmentation, also those off by default")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        rule = recipe.training.augmentation
        if options.all:
            rule = dataclasses.replace(rule, colour=1.0, occlusion=0.3, low_light=0.1)
        people = (
            generated_people(512, 0, skeleton=recipe.skeleton)
            if options.data is None
            else load_people(
                options.data,
                images=options.images,
                skeleton=skeleton(recipe.skeleton),
                map_joints=True,
                on_fault="skip",
            )
        )
        crops = CropSet(people, recipe, None if options.plain else rule)
        sys.stdout.write(f"{people.name}, crops of {recipe.crop.width}x{recipe.crop.height}, a no-op for a network\n")
        for workers in options.workers:
            paces = crops_per_second(crops, workers=workers, batch_size=options.batch_size, seconds=options.seconds)
            low, middle, high = np.percentile(paces, [10, 50, 90])
            sys.stdout.write(
                f"{workers} workers: {middle:.0f} crops/s (median of {len(paces)} rounds; {low:.0f} to {high:.0f})\n"
            )
    except AmfacError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
