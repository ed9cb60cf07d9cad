"""Training crops in batches: shuffled by (seed, epoch), shared among processes, read by workers, begun anywhere.

Letters: B batch, K joints, H x W the crop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from amfac_edge.errors import AmfacError, InputError, MachineError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.training.crops import Crop, CropSet

__all__ = ["Batch", "BatchLoader", "normalised"]


class Batch(NamedTuple):
    """B crops.

    Attributes:
        crops: (B, H, W, 3) uint8 BGR.
        points: (B, K, 2) float32 x, y in crop pixels.
        weights: (B, K) float32, 1 where the joint is labelled and inside the crop, else 0.
        indices: (B,) int64, of the people.
        faults: sentences on pictures that could not be read.
    """

    crops: Tensor
    points: Tensor
    weights: Tensor
    indices: Tensor
    faults: tuple[str, ...] = ()


def normalised(crops: Tensor, recipe: Recipe) -> Tensor:
    """What the network takes, on the device where the crops are.

    Args:
        crops: (B,H,W,3) uint8 BGR.
        recipe: mean and standard deviation of its input.

    Returns:
        (B,3,H,W) float32 normalised RGB, channels last in memory.
    """
    mean, std = (crops.new_tensor(each, dtype=torch.float32) for each in (recipe.mean, recipe.std))
    return ((crops.flip(-1).float() / 255 - mean) / std).permute(0, 3, 1, 2)


class BatchLoader:
    """Batches of a `CropSet`.

    Each epoch has every person once, in an order of its own, but for those that don't fill the last batch of all
    processes: they are left out, others in each epoch.

    Args:
        crops: where they come from.
        batch_size: B, of this process.
        workers: processes that read and cut; 0 does it in this one.
        seed: of the order.
        rank: of this process, from 0.
        world_size: how many processes share each epoch.
        pin_memory: whether batches are laid where a GPU can fetch them.

    Raises:
        InputError: fewer people than one batch of all processes.
    """

    def __init__(
        self,
        crops: CropSet,
        *,
        batch_size: int,
        workers: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        self.crops = crops
        self.faults: dict[str, None] = {}
        self._order = _Order(len(crops), batch_size, seed, rank, world_size)
        if not self.batches:
            raise InputError(
                f"{crops.people.name}: {len(crops)} people don't fill a batch of {batch_size * world_size}",
                cure=f"Use a --batch-size of at most {len(crops)}, or more people.",
            )
        self._loader: DataLoader[Any] = DataLoader(
            _Guarded(crops),
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_together,
            worker_init_fn=_begin_worker,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
        )

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        return self._order.batches

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, from batch `start` on. Sentences on faults gather in `faults`.

        Raises:
            FrameError: a picture can't be read.
            MachineError: a worker died.
        """
        self._order.epoch, self._order.start = epoch, start
        try:
            for batch in self._loader:
                if isinstance(batch, AmfacError):
                    raise batch
                self.faults.update(dict.fromkeys(batch.faults))
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise MachineError(
                f"a worker that cuts crops died: {str(error).partition(chr(10))[0]}",
                cure="It may have run out of memory: use fewer --workers, or 0.",
            ) from error


class _Order(Sampler[Any]):
    """Which (epoch, person) are in which batch of this process."""

    def __init__(self, people: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.epoch = self.start = 0
        self._people = people
        self._each = batch_size
        self._all = batch_size * world_size
        self._seed = seed
        self._rank = rank

    @property
    def batches(self) -> int:
        return self._people // self._all

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        order = np.random.default_rng([self._seed, epoch]).permutation(self._people)
        for batch in range(self.start, self.batches):
            first = batch * self._all + self._rank * self._each
            yield [(epoch, int(person)) for person in order[first : first + self._each]]


class _Guarded(Dataset["Crop | AmfacError"]):
    """The crops; our own errors come as items, since torch raises another type of error out of a worker."""

    def __init__(self, crops: CropSet) -> None:
        self._crops = crops

    def __getitem__(self, place: tuple[int, int]) -> Crop | AmfacError:
        try:
            return self._crops[place]
        except AmfacError as error:
            return error


def _begin_worker(_: int) -> None:
    # One thread each: there are as many workers as cores.
    load_opencv("cutting crops").setNumThreads(0)


def _together(found: list[Crop | AmfacError]) -> Batch | AmfacError:
    crops: list[Crop] = []
    for each in found:
        if isinstance(each, AmfacError):
            return each
        crops.append(each)
    return Batch(
        torch.from_numpy(np.stack([crop.pixels for crop in crops])),
        torch.from_numpy(np.stack([crop.points for crop in crops])),
        torch.from_numpy(np.stack([crop.weights for crop in crops])),
        torch.tensor([crop.index for crop in crops]),
        tuple(fault for crop in crops for fault in crop.faults),
    )
