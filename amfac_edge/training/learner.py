"""One step of training: the network, its loss, AdamW, averaged weights, in one process of one or several."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from amfac_edge.errors import InputError
from amfac_edge.networks import build_network
from amfac_edge.training.batches import normalised
from amfac_edge.training.losses import KLDiscretLoss, simcc_targets
from amfac_edge.training.optimization import averaged_network, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.training_fields import OptimizationRule
    from amfac_edge.training.batches import Batch
    from amfac_edge.training.processes import Processes

__all__ = ["PRECISIONS", "Learner", "NotFiniteError", "Precision"]

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


class NotFiniteError(InputError):
    """The loss of a batch is NaN or infinite; nothing was learned from that batch."""


class Learner:
    """A network and what teaches it.

    Args:
        recipe: of the network and its loss.
        rule: of the optimizer.
        processes: that this one trains together with; their batches make one step.
        precision: of forward and backward pass; weights, loss and optimizer stay float32.
        network: to begin with; None for fresh weights of torch's own seed.

    Raises:
        InputError: fp16 without a GPU.
        DeclaredError: a joint weight for a joint that the skeleton hasn't.
    """

    def __init__(
        self,
        recipe: Recipe,
        rule: OptimizationRule,
        processes: Processes,
        *,
        precision: Precision = "fp32",
        network: nn.Module | None = None,
    ) -> None:
        device = processes.device
        if precision == "fp16" and device.type != "cuda":
            raise InputError("fp16 without a GPU: its gradients would underflow", cure="Use --precision bf16 or fp32.")
        self.recipe = recipe
        self.rule = rule
        self._processes = processes
        self._half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        network = build_network(recipe) if network is None else network
        if processes.count > 1 and device.type == "cuda":
            # The recipe's batch is spread over the processes: so are the statistics of its batch-norms.
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        # Convolutions of these sizes run faster with the channels last, on CPUs and GPUs alike.
        self.network = network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        processes.share(self.network.state_dict().values())
        self.optimizer = make_optimizer(self.network, rule)
        self.average = averaged_network(self.network, rule.ema) if rule.ema else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._loss = KLDiscretLoss(recipe).to(device)
        self._joined: nn.Module = self.network
        if processes.count > 1:
            ids = [device.index] if device.type == "cuda" else None
            self._joined = DistributedDataParallel(self.network, device_ids=ids)

    def step(self, batch: Batch, rate: float) -> float:
        """Learn from one batch; return its loss, the mean over all processes.

        Args:
            batch: this process's part.
            rate: the learning rate.

        Raises:
            NotFiniteError: on every process, before any weight has changed.
        """
        loss = self.loss(batch)
        # Also a NaN elsewhere stops this process here, instead of leaving it to wait for the others.
        value = float(self._processes.total(loss.detach())) / self._processes.count
        if not torch.tensor(value).isfinite():
            raise NotFiniteError(
                f"the loss is {value}", cure="Use a lower --lr, more --warmup-epochs, or --precision fp32."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.rule.clip:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.network.parameters(), self.rule.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return value

    def loss(self, batch: Batch) -> Tensor:
        """The loss of this process's part of a batch, a scalar with gradients.

        Its gradient, averaged over the processes, is that of the whole batch.
        """
        device = self._processes.device
        crops, points, labelled = (
            each.to(device, non_blocking=True) for each in (batch.crops, batch.points, batch.weights)
        )
        targets = simcc_targets(points, labelled, self.recipe)
        with torch.autocast(device.type, self._half, enabled=self._half is not None):
            logits = self._joined(normalised(crops, self.recipe))
        counted = self._processes.total(labelled.sum()) / self._processes.count
        return self._loss(logits, targets, labelled, counted)

    @contextlib.contextmanager
    def released(self) -> Iterator[nn.Module]:
        """The network that is scored and kept, in eval mode, the same on every process: the average if there is one."""
        network = self.network if self.average is None else self.average.module
        # Batch statistics are each process's own; those of rank 0 count.
        self._processes.share(network.buffers())
        network.eval()
        try:
            yield network
        finally:
            network.train()
