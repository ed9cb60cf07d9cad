"""KLDiscretLoss of both papers and its SimCC targets (AMFACPose 3.6, EBA-PRNetCC 3.4, equations 4 and 5).

Letters: B batch, K joints, Wk and Hk bins. AMFACPose's printed formula has the x term twice; the second is y's. What
neither paper prints (smoothing, sigma, joint weights, the reduction) is `LossRule` in the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from amfac_edge.errors import DeclaredError, near_names
from amfac_edge.keypoints import skeleton

if TYPE_CHECKING:
    from amfac_edge.declared.recipe import Recipe

__all__ = ["KLDiscretLoss", "joint_weights", "simcc_targets"]


def simcc_targets(points: Tensor, labelled: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """What the network shall say: for each joint and axis a Gaussian around the point, smoothed.

    `SimccCode.encode` gives the same for smoothing 0; this one runs where the points are, on a GPU too.

    Args:
        points: (B,K,2) float32 x, y in crop pixels; of joints without a label anything, NaN too.
        labelled: (B,K) float32, 1 where the joint has a target, else 0.
        recipe: the bins' convention, sigma and smoothing.

    Returns:
        (B,K,Wk) and (B,K,Hk) float32; each row has the sum 1, or 0 where the joint has no target.
    """
    rule, ratio = recipe.loss, recipe.split_ratio
    known = torch.where(labelled[..., None] > 0, points, 0.0)
    places = (known + 0.5) * ratio - 0.5 if recipe.bin_centres else known * ratio
    targets = []
    for axis, count in enumerate(recipe.bins):
        bins = torch.arange(count, dtype=torch.float32, device=points.device)
        squares = (bins - places[..., axis, None]) ** 2
        gaussian = torch.softmax(-squares / (2 * rule.sigma_bins**2), dim=-1)
        smoothed = (1 - rule.smoothing) * gaussian + rule.smoothing / count
        targets.append(smoothed * labelled[..., None])
    return targets[0], targets[1]


def joint_weights(recipe: Recipe) -> Tensor:
    """W_i of the recipe's joints, (K,) float32.

    Raises:
        DeclaredError: a weight for a joint that the skeleton hasn't.
    """
    joints = skeleton(recipe.skeleton).joints
    weights = torch.ones(len(joints))
    for name, weight in recipe.loss.joint_weights:
        meant = [index for index, joint in enumerate(joints) if name in {joint, joint.partition("_")[2]}]
        if not meant:
            raise DeclaredError(
                f"recipe {recipe.name}: loss.joint_weights.{name} is no joint of {recipe.skeleton}",
                cure=near_names(name, joints),
            )
        weights[meant] = weight
    return weights


class KLDiscretLoss(nn.Module):
    """W_i · (KL(gt_x || softmax(x/T)) + KL(gt_y || softmax(y/T))), summed over bins, mean over joints and batch.

    Args:
        recipe: temperature T, joint weights, and what the mean goes over.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._temperature = recipe.temperature
        self._over_labelled = recipe.loss.mean_over == "labelled"
        self.register_buffer("weights", joint_weights(recipe), persistent=False)

    def forward(
        self,
        logits: tuple[Tensor, Tensor],
        targets: tuple[Tensor, Tensor],
        labelled: Tensor,
        labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, a scalar; 0, with gradients of 0, where nobody has a label.

        Args:
            logits: (B,K,Wk) and (B,K,Hk).
            targets: of the same shapes, as `simcc_targets` makes them.
            labelled: (B,K), 1 where the joint counts, else 0.
            labels: what a mean over the labelled joints divides by, where several processes share a batch: the mean
                number of labels of their parts. None is this part's own number.
        """
        total = self.joint_losses(logits, targets, labelled).sum()
        if not self._over_labelled:
            return total / labelled.numel()
        return total / (labelled.sum() if labels is None else labels).clamp_min(1)

    def joint_losses(self, logits: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor], labelled: Tensor) -> Tensor:
        """Loss_i of each joint, (B,K): equation 4 of EBA-PRNetCC, with AMFACPose's T."""
        x, y = (self._divergences(*pair) for pair in zip(logits, targets, strict=True))
        return cast("Tensor", self.weights) * labelled * (x + y)

    def _divergences(self, logits: Tensor, targets: Tensor) -> Tensor:
        # Sums over hundreds of bins: half precision would lose what the smoothing puts there.
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        predicted = functional.log_softmax(precise / self._temperature, dim=-1)
        return functional.kl_div(predicted, targets, reduction="none").sum(dim=-1)
