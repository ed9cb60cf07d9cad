"""What a recipe says of its training: `[loss]` and `[training]`.

The papers print the optimiser's name, the learning rate, epochs, batch size, workers and the ranges of three
augmentations; those are the defaults here. All else of a training is not printed, and is a field with our choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amfac_edge.declared.reading import Table

__all__ = [
    "AugmentationRule",
    "LossRule",
    "OptimizationRule",
    "TrainingRule",
    "loss_as_json",
    "optimization_as_json",
    "read_loss",
    "read_training",
    "training_as_json",
]

_HARDER = (("elbow", 1.2), ("wrist", 1.5), ("knee", 1.2), ("ankle", 1.5))
_SCHEDULES = ("constant", "cosine", "step")
_BORDERS = ("black", "random")
_MEANS = ("all", "labelled")


@dataclass(frozen=True)
class LossRule:
    """What the papers leave open of their loss.

    Attributes:
        sigma_bins: standard deviation of the Gaussian targets, in bins.
        smoothing: e of label smoothing: this part of a target's mass is spread evenly over all bins.
        joint_weights: W_i of joints by name, or by name without its side ("wrist"); all others weigh 1.
        mean_over: "all": the mean goes over all joints, unlabelled ones add 0, as printed. "labelled": over those that
            have a target.
    """

    sigma_bins: float = 6.0
    smoothing: float = 0.1
    joint_weights: tuple[tuple[str, float], ...] = _HARDER
    mean_over: str = "all"


@dataclass(frozen=True)
class AugmentationRule:
    """How training crops vary; each probability is of one crop.

    Attributes:
        flip: probability of mirroring.
        rotation: largest angle, in degrees, either way.
        scale: least and largest factor of the crop's extent.
        colour: probability of changed brightness, contrast and colour balance.
        low_light: probability of a crop as a camera sees it with 1/2 to 1/16 of the light.
        occlusion: probability of a rectangle that hides a part of the crop.
        border: what lies outside the picture: "black", as in inference, or "random" (black, a colour, or the picture's
            edge continued), so that a frame around a person teaches nothing.
    """

    flip: float = 0.5
    rotation: float = 30.0
    scale: tuple[float, float] = (0.7, 1.3)
    colour: float = 0.0
    low_light: float = 0.0
    occlusion: float = 0.0
    border: str = "random"


@dataclass(frozen=True)
class OptimizationRule:
    """AdamW and what steers it.

    Attributes:
        lr: learning rate at its highest.
        weight_decay: of matrices and kernels; biases, norms and other vectors have none.
        schedule: "constant", "cosine" (down to `final` times lr) or "step" (a tenth from each of `steps` on).
        warmup_epochs: the rate rises linearly over these first epochs.
        final: where "cosine" ends, as a part of lr.
        steps: where "step" steps, as parts of the training.
        ema: decay of the averaged weights for each step; 0 keeps none.
        clip: largest norm of the gradient; 0 clips nothing.
    """

    lr: float = 1e-5
    weight_decay: float = 0.01
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    final: float = 0.01
    steps: tuple[float, ...] = (0.7, 0.9)
    ema: float = 0.0
    clip: float = 0.0


# What fresh weights learn with: docs/training.md has what was measured.
_FROM_SCRATCH = OptimizationRule(lr=1e-3, weight_decay=0.05, schedule="cosine", warmup_epochs=2.0, ema=0.999, clip=5.0)


@dataclass(frozen=True)
class TrainingRule:
    """A recipe's training.

    Attributes:
        epochs: passes over the data.
        batch_size: people in a step, over all processes.
        workers: processes that read and crop, for each training process.
        augmentation: of the crops.
        paper: optimisation as the papers print it; what they don't print is torch's default or absent. Here as in
            `scratch` matrices and kernels decay, biases, norms and other vectors don't.
        scratch: optimisation that is recommended for fresh weights.
    """

    epochs: int = 140
    batch_size: int = 32
    workers: int = 6
    augmentation: AugmentationRule = field(default_factory=AugmentationRule)
    paper: OptimizationRule = field(default_factory=OptimizationRule)
    scratch: OptimizationRule = _FROM_SCRATCH


def read_loss(table: Table) -> LossRule:
    """`[loss]`; what it doesn't name keeps its default."""
    weights = table.table("joint_weights", required=False) if "joint_weights" in table else None
    return LossRule(
        sigma_bins=table.number("sigma_bins", default=LossRule.sigma_bins, minimum=0.1, maximum=256),
        smoothing=table.number("smoothing", default=LossRule.smoothing, minimum=0, maximum=0.9),
        joint_weights=_HARDER
        if weights is None
        else tuple((name, weights.number(name, minimum=0, maximum=100)) for name in weights.keys()),  # noqa: SIM118 - a Table is no mapping
        mean_over=table.text("mean_over", default=LossRule.mean_over, choices=_MEANS),
    )


def read_training(table: Table, *, batch_size: int) -> TrainingRule:
    """`[training]` with `[training.augmentation]`, `[training.paper]` and `[training.scratch]`.

    Args:
        table: may be empty.
        batch_size: of the family's paper.
    """
    return TrainingRule(
        epochs=table.integer("epochs", default=TrainingRule.epochs, minimum=1, maximum=100_000),
        batch_size=table.integer("batch_size", default=batch_size, minimum=2, maximum=1 << 16),
        workers=table.integer("workers", default=TrainingRule.workers, maximum=1024),
        augmentation=_read_augmentation(table.table("augmentation", required=False)),
        paper=_read_optimization(table.table("paper", required=False), OptimizationRule()),
        scratch=_read_optimization(table.table("scratch", required=False), _FROM_SCRATCH),
    )


def _read_augmentation(table: Table) -> AugmentationRule:
    plain = AugmentationRule()
    low, high = table.numbers("scale", count=2, default=plain.scale)
    if not 0.1 <= low <= high <= 10:  # noqa: PLR2004 - outside, a person is a dot or a patch of skin
        table.fault("scale", f"[{low:g}, {high:g}] is no range within 0.1 and 10")
    return AugmentationRule(
        flip=table.number("flip", default=plain.flip, minimum=0, maximum=1),
        rotation=table.number("rotation", default=plain.rotation, minimum=0, maximum=180),
        scale=(low, high),
        colour=table.number("colour", default=plain.colour, minimum=0, maximum=1),
        low_light=table.number("low_light", default=plain.low_light, minimum=0, maximum=1),
        occlusion=table.number("occlusion", default=plain.occlusion, minimum=0, maximum=1),
        border=table.text("border", default=plain.border, choices=_BORDERS),
    )


def _read_optimization(table: Table, plain: OptimizationRule) -> OptimizationRule:
    steps = table.numbers("steps", default=plain.steps)
    if any(not 0 < step < 1 for step in steps):
        table.fault("steps", f"{list(steps)} has a number that is no part of the training between 0 and 1")
    return OptimizationRule(
        lr=table.number("lr", default=plain.lr, minimum=1e-12, maximum=10),
        weight_decay=table.number("weight_decay", default=plain.weight_decay, minimum=0, maximum=1),
        schedule=table.text("schedule", default=plain.schedule, choices=_SCHEDULES),
        warmup_epochs=table.number("warmup_epochs", default=plain.warmup_epochs, minimum=0, maximum=10_000),
        final=table.number("final", default=plain.final, minimum=0, maximum=1),
        steps=steps,
        ema=table.number("ema", default=plain.ema, minimum=0, maximum=0.999999),
        clip=table.number("clip", default=plain.clip, minimum=0, maximum=1e6),
    )


def loss_as_json(loss: LossRule) -> dict[str, Any]:
    """`[loss]` as a JSON object, which `read_loss` reads back."""
    return _plain(loss) | {"joint_weights": dict(loss.joint_weights)}


def training_as_json(training: TrainingRule) -> dict[str, Any]:
    """`[training]` as a JSON object, which `read_training` reads back."""
    parts = {
        "augmentation": _plain(training.augmentation),
        "paper": optimization_as_json(training.paper),
        "scratch": optimization_as_json(training.scratch),
    }
    return _plain(training) | parts


def optimization_as_json(rule: OptimizationRule) -> dict[str, Any]:
    """`[training.paper]` or `[training.scratch]` as a JSON object."""
    return _plain(rule)


def _plain(rule: LossRule | AugmentationRule | OptimizationRule | TrainingRule) -> dict[str, Any]:
    values = {each.name: getattr(rule, each.name) for each in fields(rule)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
