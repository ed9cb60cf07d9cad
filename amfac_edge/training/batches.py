"""Training crops in batches: shuffled by (seed, epoch), shared among processes, read by workers, begun anywhere.

Letters: B batch, K joints, H x W the crop.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

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
        self._each = batch_size
        self._all = batch_size * world_size
        self._workers = workers
        self._seed = seed
        self._rank = rank
        self._pin_memory = pin_memory
        if not self.batches:
            raise InputError(
                f"{crops.people.name}: {len(crops)} people don't fill a batch of {self._all}",
                cure=f"Use a --batch-size of at most {len(crops)}, or more people.",
            )

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        return len(self.crops) // self._all

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, from batch `start` on. Sentences on faults gather in `faults`.

        Raises:
            FrameError: a picture can't be read.
            MachineError: a worker died.
        """
        loader: DataLoader[Any] = DataLoader(
            _Guarded(self.crops),
            batch_sampler=self._order(epoch)[start:],
            num_workers=self._workers,
            collate_fn=_together,
            worker_init_fn=_begin_worker,
            pin_memory=self._pin_memory,
        )
        try:
            for batch in _begun(loader):
                if isinstance(batch, AmfacError):
                    raise batch
                self.faults.update(dict.fromkeys(batch.faults))
                yield batch
        except (RuntimeError, EOFError, ConnectionError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise MachineError(
                f"a worker that cuts crops died: {str(error).partition(chr(10))[0] or type(error).__name__}",
                cure="It may have run out of memory: use fewer --workers, or 0.",
            ) from error

    def _order(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Which (epoch, person) are in which batch of this process."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.crops)).tolist()
        firsts = (batch * self._all + self._rank * self._each for batch in range(self.batches))
        return [[(epoch, person) for person in order[first : first + self._each]] for first in firsts]


class _Guarded(Dataset["Crop | AmfacError"]):
    """The crops; our own errors come as items, since torch raises another type of error out of a worker."""

    def __init__(self, crops: CropSet) -> None:
        self._crops = crops

    def __getitem__(self, place: tuple[int, int]) -> Crop | AmfacError:
        try:
            return self._crops[place]
        except AmfacError as error:
            return error


def _begun(loader: DataLoader[Any]) -> Iterator[Any]:
    """Its iterator, without torch's handler of SIGCHLD.

    That raises wherever this process happens to be when a worker dies; the iterator itself finds out in five seconds.
    """
    before = signal.getsignal(signal.SIGCHLD)
    found = iter(loader)
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)
    return found


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
