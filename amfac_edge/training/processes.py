"""The processes of one training: one alone, or several that `torchrun` started, on one machine or many."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch import distributed as dist

from amfac_edge.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Processes", "joined_processes"]

_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: 0..count - 1; rank 0 writes files and speaks.
        count: how many there are.
        device: that this one computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes of a tensor without gradients; its shapes are the same on each rank."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, whose shapes are the same on each rank, by those of rank 0."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401 - whatever the ranks made
        """Every rank's value, in the order of ranks, on every rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values


@contextlib.contextmanager
def joined_processes(device: str = "auto") -> Iterator[Processes]:
    """This process, joined with the others if `torchrun` started it (it sets RANK, WORLD_SIZE, LOCAL_RANK).

    Args:
        device: "cpu", "cuda", "cuda:1", or "auto": the GPU if torch has one. With several processes on a machine,
            each takes the GPU of its LOCAL_RANK.

    Raises:
        InputError: no such kind of device.
        MachineError: a GPU was asked for and there is none, or the other processes can't be reached.
    """
    count, rank = (_whole_number(name, default) for name, default in (("WORLD_SIZE", 1), ("RANK", 0)))
    found = _device(device, _whole_number("LOCAL_RANK", 0), alone=count == 1)
    if found.type == "cuda":
        torch.cuda.set_device(found)
        torch.backends.cudnn.benchmark = True  # crops are all of one size: the fastest kernels are worth looking for
    if count == 1:
        yield Processes(0, 1, found)
        return
    # Imported after the group is there, this keeps the group and its threads in default arguments until the interpreter
    # ends, when such a thread that asks for the GIL aborts the process. DistributedDataParallel imports it.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        dist.init_process_group("nccl" if found.type == "cuda" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise MachineError(
            f"process {rank} of {count} can't join the others: {str(error).partition(chr(10))[0]}",
            cure="Start all of them with torchrun, and check MASTER_ADDR, MASTER_PORT and the firewall.",
        ) from error
    try:
        yield Processes(rank, count, found)
    finally:
        dist.destroy_process_group()
        gc.collect()  # a DistributedDataParallel is a cycle, and holds the group


def _whole_number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise InputError(f"{name}={text} in the environment is no number", cure="Start the processes with torchrun.")
    return int(text)


def _device(name: str, local_rank: int, *, alone: bool) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: no such device", cure="Use auto, cpu, cuda or cuda:N.") from None
    if device.type not in {"cpu", "cuda"}:
        raise InputError(f"--device {name}: training runs on cpu or cuda", cure="Use auto, cpu, cuda or cuda:N.")
    if device.type == "cpu":
        return device
    index = device.index if alone and device.index is not None else local_rank
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise MachineError(
            f"--device {name}: torch sees {torch.cuda.device_count()} GPUs, number {index} is not among them",
            cure="Check nvidia-smi and that torch is a CUDA build, or use --device cpu.",
        )
    return torch.device("cuda", index)
