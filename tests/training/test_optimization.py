"""AdamW's groups, the learning rate of each step, and the average of the weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from amfac_edge.declared.training_fields import OptimizationRule
from amfac_edge.training.optimization import averaged_network, learning_rate, make_optimizer

RULE = OptimizationRule(lr=0.1, weight_decay=0.05)


def rates(rule: OptimizationRule, steps_an_epoch: int = 10, epochs: int = 10) -> list[float]:
    return [learning_rate(rule, step, steps_an_epoch, epochs) for step in range(steps_an_epoch * epochs)]


def test_vectors_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decaying, plain = make_optimizer(network, RULE).param_groups
    assert [parameter.ndim for parameter in decaying["params"]] == [4, 2]
    assert [parameter.ndim for parameter in plain["params"]] == [1, 1, 1, 1]
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)


def test_the_papers_rate_is_constant() -> None:
    assert set(rates(OptimizationRule())) == {1e-5}


def test_the_rate_rises_linearly_through_the_warm_up() -> None:
    found = rates(replace(RULE, warmup_epochs=0.5))
    assert found[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert set(found[5:]) == {0.1}


def test_the_cosine_ends_where_it_is_told_to() -> None:
    rule = replace(RULE, schedule="cosine", warmup_epochs=1.0, final=0.1)
    found = rates(rule)
    assert found[9] == found[10] == pytest.approx(0.1)
    assert found[10 + 45] == pytest.approx((0.1 + 0.01) / 2)
    assert learning_rate(rule, 100, 10, 10) == pytest.approx(0.01)
    assert all(later <= earlier for earlier, later in pairwise(found[10:]))


def test_steps_are_tenths() -> None:
    found = rates(replace(RULE, schedule="step", steps=(0.5, 0.8)))
    assert found[49] == pytest.approx(0.1)
    assert found[50] == found[79] == pytest.approx(0.01)
    assert found[80] == pytest.approx(0.001)


def test_steps_are_parts_of_the_whole_training() -> None:
    found = rates(replace(RULE, schedule="step", steps=(0.5,), warmup_epochs=2.0))
    assert found[49] == pytest.approx(0.1)
    assert found[50] == pytest.approx(0.01)


def test_a_warm_up_longer_than_the_training_ends_with_it() -> None:
    assert rates(replace(RULE, warmup_epochs=50.0))[-1] == pytest.approx(0.1)


def test_the_average_is_exponential_with_a_growing_decay() -> None:
    network: Any = nn.BatchNorm1d(1)
    average = averaged_network(network, decay=0.5)
    expected = 1.0
    for count, value in enumerate([5.0, 7.0, -3.0, 11.0, 2.0, 4.0, 8.0, 1.0, 9.0, 3.0, 6.0, 2.5]):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(-value)
            network.num_batches_tracked.fill_(count)
        average.update_parameters(network)
        kept = min(0.5, (1 + count) / (10 + count))
        # The first update copies: what was there before the first step is nobody's weights.
        expected = value if count == 0 else kept * expected + (1 - kept) * value
    averaged: Any = average.module
    assert averaged.weight.item() == pytest.approx(expected, rel=1e-5)
    assert averaged.running_mean.item() == pytest.approx(-expected, rel=1e-5)
    assert averaged.num_batches_tracked.item() == 11  # a count is copied, not averaged
