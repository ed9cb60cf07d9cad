"""AdamW as a recipe asks for it: which weights decay, the learning rate of a step, and averaged weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from amfac_edge.declared.training_fields import OptimizationRule

__all__ = ["averaged_network", "learning_rate", "make_optimizer"]

_AVERAGE_WARMUP = 10


def make_optimizer(network: nn.Module, rule: OptimizationRule) -> torch.optim.AdamW:
    """AdamW over two groups: matrices and kernels decay, biases, norms and other vectors don't."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": rule.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rule.lr)


def learning_rate(rule: OptimizationRule, step: int, steps_an_epoch: int, epochs: int) -> float:
    """The rate of a step, counted from 0 over the whole training: linear warm-up, then the schedule."""
    steps = epochs * steps_an_epoch
    warmup = min(round(rule.warmup_epochs * steps_an_epoch), steps)
    if step < warmup:
        return rule.lr * (step + 1) / warmup
    if rule.schedule == "cosine":
        done = (step - warmup) / max(1, steps - warmup)
        return rule.lr * (rule.final + (1 - rule.final) * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
    if rule.schedule == "step":
        return rule.lr * 0.1 ** sum(step / steps >= part for part in rule.steps)
    return rule.lr


def averaged_network(network: nn.Module, decay: float) -> AveragedModel:
    """Weights and batch statistics, averaged exponentially over the steps: `update_parameters` after each of them.

    The decay grows to `decay` as (1 + n) / (10 + n), so that a short training forgets its first steps too.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = float(count)
        kept = min(decay, (1 + steps) / (_AVERAGE_WARMUP + steps))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - kept)
            else:
                mean.copy_(value)

    return AveragedModel(network, multi_avg_fn=torch.no_grad()(average), use_buffers=True)
