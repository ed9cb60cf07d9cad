"""KLDiscretLoss: hand-computed cases, torch's own divergence, gradients, and joints without a label."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.declared.training_fields import LossRule
from amfac_edge.errors import DeclaredError
from amfac_edge.keypoints import SimccCode
from amfac_edge.training.losses import KLDiscretLoss, joint_weights, simcc_targets

BASE = load_recipe("amfacpose-r18-128x128")


def recipe_with(temperature: float = 0.8, **loss: object) -> Recipe:
    plain = {"joint_weights": (), "smoothing": 0.0} | loss
    return replace(BASE, temperature=temperature, loss=replace(LossRule(), **plain))  # type: ignore[arg-type]


def random_case(recipe: Recipe, batch: int = 3) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = tuple(torch.randn(batch, 17, count, generator=generator) for count in recipe.bins)
    points = torch.rand(batch, 17, 2, generator=generator) * 127
    labelled = (torch.rand(batch, 17, generator=generator) > 0.3).float()
    return (logits[0], logits[1]), points, labelled


def test_two_bins_by_hand() -> None:
    """T = 1/2 and the logits (0, ln 2): softmax(2 * (0, ln 2)) = (1/5, 4/5); against (1/2, 1/2)."""
    loss = KLDiscretLoss(recipe_with(temperature=0.5))
    logits = torch.tensor([0.0, math.log(2)]).expand(1, 17, 2)
    half = torch.full((1, 17, 2), 0.5)
    by_hand = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8)
    each = loss.joint_losses((logits, logits), (half, half), torch.ones(1, 17))
    # float32 logarithms, a few of them in a sum below 1.
    assert torch.allclose(each, torch.tensor(2 * by_hand), atol=1e-6, rtol=0)


def test_the_second_term_is_ys_not_x_again() -> None:
    loss = KLDiscretLoss(recipe_with())
    flat, sure = torch.zeros(1, 17, 4), torch.tensor([50.0, 0, 0, 0]).expand(1, 17, 4)
    one_hot = torch.tensor([1.0, 0, 0, 0]).expand(1, 17, 4)
    right_x = loss((sure, flat), (one_hot, one_hot), torch.ones(1, 17))
    right_y = loss((flat, sure), (one_hot, one_hot), torch.ones(1, 17))
    assert right_x == pytest.approx(math.log(4), abs=1e-5)
    assert right_y == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.8])
def test_without_weights_it_is_torchs_divergence(temperature: float) -> None:
    recipe = recipe_with(temperature, smoothing=0.1)
    logits, points, _ = random_case(recipe)
    ones = torch.ones(3, 17)
    targets = simcc_targets(points, ones, recipe)
    divergence = torch.nn.KLDivLoss(reduction="sum")
    expected = sum(
        divergence(functional.log_softmax(value / temperature, dim=-1), target)
        for value, target in zip(logits, targets, strict=True)
    ) / (3 * 17)
    assert torch.allclose(KLDiscretLoss(recipe)(logits, targets, ones), torch.as_tensor(expected), rtol=1e-5)


def test_the_right_answer_costs_nothing_and_no_answer_costs_less() -> None:
    recipe = recipe_with(smoothing=0.1)
    _, points, _ = random_case(recipe)
    ones = torch.ones(3, 17)
    targets = simcc_targets(points, ones, recipe)
    perfect = tuple(recipe.temperature * target.log() for target in targets)
    assert KLDiscretLoss(recipe)((perfect[0], perfect[1]), targets, ones).item() == pytest.approx(0, abs=1e-5)


def test_gradients_agree_with_finite_differences() -> None:
    recipe = recipe_with(smoothing=0.1, joint_weights=(("wrist", 1.5),))
    loss = KLDiscretLoss(recipe).double()
    generator = torch.Generator().manual_seed(2)
    x, y = (torch.randn(2, 17, 5, generator=generator, dtype=torch.float64, requires_grad=True) for _ in "xy")
    targets = tuple(torch.softmax(torch.randn(2, 17, 5, generator=generator, dtype=torch.float64), -1) for _ in "xy")
    labelled = torch.ones(2, 17, dtype=torch.float64)
    labelled[0, 3] = 0

    def total(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return loss((first, second), (targets[0], targets[1]), labelled)

    assert torch.autograd.gradcheck(total, (x, y))


def test_the_gradient_is_the_difference_of_the_distributions() -> None:
    """d KL / d logits = (softmax(l / T) - target) / T for each axis."""
    recipe = recipe_with(0.8)
    logits, points, _ = random_case(recipe)
    x = logits[0].requires_grad_()
    ones = torch.ones(3, 17)
    targets = simcc_targets(points, ones, recipe)
    KLDiscretLoss(recipe)((x, logits[1]), targets, ones).backward()
    expected = (torch.softmax(x.detach() / 0.8, -1) - targets[0]) / 0.8 / (3 * 17)
    assert x.grad is not None
    assert torch.allclose(x.grad, expected, atol=1e-7)


def test_joints_without_a_label_weigh_nothing() -> None:
    recipe = recipe_with(smoothing=0.1)
    logits, points, labelled = random_case(recipe)
    wild = torch.where(labelled[..., None] > 0, points, torch.tensor(float("nan")))
    x = logits[0].requires_grad_()
    loss = KLDiscretLoss(recipe)
    value = loss((x, logits[1]), simcc_targets(wild, labelled, recipe), labelled)
    same = loss((x, logits[1]), simcc_targets(points, labelled, recipe), labelled)
    value.backward()
    assert value == same
    assert x.grad is not None
    assert (x.grad[labelled == 0] == 0).all()
    assert (x.grad[labelled > 0] != 0).any()


def test_what_the_mean_goes_over() -> None:
    logits, points, labelled = random_case(recipe_with())
    values = {}
    for mean_over in ("all", "labelled"):
        recipe = recipe_with(mean_over=mean_over)
        values[mean_over] = KLDiscretLoss(recipe)(logits, simcc_targets(points, labelled, recipe), labelled).item()
    assert values["labelled"] / values["all"] == pytest.approx(3 * 17 / labelled.sum().item(), rel=1e-5)


def test_nobody_labelled_is_a_loss_of_nothing() -> None:
    recipe = recipe_with(mean_over="labelled")
    logits, points, _ = random_case(recipe)
    none = torch.zeros(3, 17)
    assert KLDiscretLoss(recipe)(logits, simcc_targets(points, none, recipe), none).item() == 0


def test_harder_joints_weigh_more() -> None:
    weights = joint_weights(BASE)
    assert weights[9].item() == weights[10].item() == 1.5  # the wrists of coco-17
    assert weights[0].item() == 1.0
    assert weights[7].item() == pytest.approx(1.2)


def test_a_weight_for_a_joint_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeclaredError, match=r"loss.joint_weights.wrst is no joint of coco-17"):
        joint_weights(recipe_with(joint_weights=(("wrst", 2.0),)))


@pytest.mark.parametrize("bin_centres", [True, False])
def test_targets_are_those_of_the_code(*, bin_centres: bool) -> None:
    recipe = replace(recipe_with(), bin_centres=bin_centres)
    points = torch.tensor(np.random.default_rng(3).uniform(0, 127, (2, 17, 2)), dtype=torch.float32)
    ours = simcc_targets(points, torch.ones(2, 17), recipe)
    theirs = SimccCode.of(recipe).encode(points.numpy(), sigma_bins=recipe.loss.sigma_bins)
    for one, other in zip(ours, theirs, strict=True):
        # Values up to 1/(sigma sqrt(2 pi)) = 0.07, in float32 from places up to 256 bins: 256 * 6e-8 bins of error.
        assert np.abs(one.numpy() - other).max() < 1e-6


def test_smoothing_spreads_its_part_evenly() -> None:
    recipe = recipe_with(smoothing=0.2)
    x, y = simcc_targets(torch.zeros(1, 17, 2), torch.ones(1, 17), recipe)
    assert torch.allclose(x.sum(-1), torch.ones(1, 17))
    # Far from the point the Gaussian is nothing: what is left is e / bins.
    assert x[0, 0, -1].item() == pytest.approx(0.2 / recipe.bins[0], rel=1e-6)
    assert y[0, 0, -1].item() == pytest.approx(0.2 / recipe.bins[1], rel=1e-6)
