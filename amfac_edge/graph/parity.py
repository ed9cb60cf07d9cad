"""The parity gate: does the artefact compute what the trained network computes?

Two comparisons, on crops: logits of the raw graph, and joints and scores of the artefact. A joint is held to its place
wherever its two best bins differ by more than a tie (closer ones are for rounding to decide); scores must lie within
what the logits' difference allows. Letters: N crops, K joints, k bins a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact.trial import Trial, upper_quantile
from amfac_edge.errors import GateError
from amfac_edge.keypoints import SimccCode, skeleton

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import ScoreCalibration

    Logits = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = [
    "INT8_TRIAL",
    "LOGIT_BUDGET",
    "Budget",
    "Parity",
    "budget_for",
    "check_parity",
    "compare",
    "generated_crops",
    "generated_pictures",
    "normalised",
    "trial_of",
]

LOGIT_BUDGET = 1e-4
_SHOWN = 5


@dataclass(frozen=True)
class Budget:
    """How far an artefact may be from its network.

    Attributes:
        logits: largest difference of logits, relative to their spread (maximum minus minimum of that output).
        tie: a joint whose two best bins differ by less than twice this part of the spread is a tie.
        shift_px: distance in crop pixels from which on a joint that is no tie has moved.
        moved_share: part of the joints that are no ties which may move.
    """

    logits: float
    tie: float
    shift_px: float
    moved_share: float


# Of an INT8 plan beside its own graph, on drawn people. Where the rest rounds otherwise, values cross INT8's steps:
# with the rest in float32 instead of float16, 5 of 100 joints of one released network moved by more than a pixel, and
# none of the other. Swapped channels, and ranges that are four times too small, moved 80 and more; one wrong range
# among many moves too few to be seen.
INT8_TRIAL = Budget(logits=5e-3, tie=LOGIT_BUDGET, shift_px=1.0, moved_share=0.1)


def budget_for(precision: str, recipe: Recipe, *, trained: bool | None = None) -> Budget:
    """The budget of an artefact in "fp32", "fp16" or "int8".

    FP32: rounding alone; a coordinate is one of a few hundred float32 values, so half a hundredth of a bin tells
    rounding from another bin.

    FP16: a value is off by up to 2^-11 of itself (4.9e-4) after each of a hundred or two operators in a row. Trained
    networks came to 7e-4 of the spread and are held to 5e-3, and, ties being what they are in FP32, at most one joint
    in a hundred may move by more than a pixel. Untrained ones amplify what comes in and came to 1.2e-2; they are held
    to twice that, in logits and in ties: their joints mean nothing.

    INT8: of an artefact beside its own quantised graph. The last bit of a pixel's normalisation may put a value on the
    other side of a step of INT8, which is a few parts in a thousand of what it goes into.
    """
    if precision == "int8":
        return Budget(logits=5e-3, tie=2.5e-3, shift_px=1.0, moved_share=0.02)
    if precision != "fp16":
        return Budget(logits=LOGIT_BUDGET, tie=LOGIT_BUDGET, shift_px=0.005 / recipe.split_ratio, moved_share=0.0)
    if trained is False:
        return Budget(logits=2.5e-2, tie=2.5e-2, shift_px=1.0, moved_share=0.01)
    return Budget(logits=5e-3, tie=LOGIT_BUDGET, shift_px=1.0, moved_share=0.01)


@dataclass(frozen=True)
class Parity:
    """What the comparison found.

    Attributes:
        budget: what it is held to.
        crops: number of crops.
        logit_error: largest difference of logits, relative to their spread (maximum minus minimum of that output).
        joints: number of joints compared.
        ties: joints that are ties on an axis; they are not held to their place.
        moved: joints that moved although they are no tie, as (crop, joint, distance in crop pixels), the worst first.
        shift_px: distances of all joints in crop pixels: 50th and 99th percentile and maximum.
        score_error: largest difference of scores.
        score_budget: what the logits' difference allows for it.
    """

    budget: Budget
    crops: int
    logit_error: float
    joints: int
    ties: int
    moved: tuple[tuple[int, int, float], ...]
    shift_px: tuple[float, float, float]
    score_error: float
    score_budget: float

    @property
    def holds(self) -> bool:
        """Whether everything is within budget; false for NaN."""
        allowed = self.budget.moved_share * (self.joints - self.ties)
        return (
            self.logit_error <= self.budget.logits
            and len(self.moved) <= allowed
            and self.score_error <= self.score_budget
        )

    def as_json(self) -> dict[str, object]:
        """The evidence for the manifest."""
        return {
            "crops": self.crops,
            "joints": self.joints,
            "logit_error": self.logit_error,
            "logit_budget": self.budget.logits,
            "ties": self.ties,
            "moved": len(self.moved),
            "moved_from_px": self.budget.shift_px,
            "moved_share_budget": self.budget.moved_share,
            "shift_px_p50_p99_max": list(self.shift_px),
            "score_error": self.score_error,
            "score_budget": self.score_budget,
        }


def compare(
    recipe: Recipe,
    reference: Logits,
    raw: Logits,
    artefact: tuple[NDArray[np.float32], NDArray[np.float32]],
    calibration: ScoreCalibration | None = None,
    budget: Budget | None = None,
) -> Parity:
    """Compare the artefact with the network that it was made from, on the same crops.

    Args:
        recipe: of the model.
        reference: logits (N,K,W·k), (N,K,H·k) of the network itself.
        raw: the same of the raw ONNX graph.
        artefact: keypoints (N,K,2) in crop pixels and scores (N,K) of the artefact.
        calibration: of the score.
        budget: None for that of FP32.
    """
    budget = budget or budget_for("fp32", recipe)
    logit_error = max(_relative_error(*pair) for pair in zip(reference, raw, strict=True))
    expected, expected_scores = SimccCode.of(recipe).decode(*reference, recipe.temperature, calibration)
    keypoints, scores = artefact
    distance = np.hypot(*np.moveaxis(keypoints.astype(np.float64) - expected, -1, 0))
    clear = np.logical_and(*(_is_clear(logits, budget.tie) for logits in reference))
    moved = clear & ~(distance <= budget.shift_px)
    order = np.argsort(-np.nan_to_num(distance[moved], nan=np.inf))
    worst = np.argwhere(moved)[order]
    # A logit's error d moves log(s / (1 - s)) by at most 2d/T, a softmax s by d/(2T); float32 adds a few of its steps.
    spread = max(float(np.ptp(logits)) for logits in reference)
    temperature, slope = (calibration.temperature, calibration.slope) if calibration else (recipe.temperature, 1.0)
    # Where rounding is allowed for, what the logits are off by is what the scores may be off by; twice that, since the
    # artefact rounds at other places than the raw graph.
    apart = max(2 * logit_error, budget.tie) if budget.moved_share else budget.logits
    allowed = slope * apart * spread / (2 * temperature) + max(1.0, slope) * 1e-6
    shifts = np.nan_to_num(distance, nan=np.inf)
    middle, most = (upper_quantile(shifts, part) for part in (0.5, 0.99))
    return Parity(
        budget=budget,
        crops=len(keypoints),
        logit_error=logit_error,
        joints=distance.size,
        ties=int(np.count_nonzero(~clear)),
        moved=tuple((int(crop), int(joint), float(distance[crop, joint])) for crop, joint in worst),
        shift_px=(middle, most, float(shifts.max())),
        score_error=float(np.abs(scores - expected_scores).max()),
        score_budget=allowed,
    )


def trial_of(
    recipe: Recipe,
    crops: NDArray[np.uint8],
    reference: Logits,
    budget: Budget,
    calibration: ScoreCalibration | None = None,
) -> Trial:
    """What a plan is tried with where it is built: the same terms as `compare`, less the logits, which it doesn't give.

    Args:
        recipe: of the model.
        crops: (N,H,W,3) uint8 BGR.
        reference: logits (N,K,W·k), (N,K,H·k) of the network itself on these crops; of an INT8 plan those of its graph.
        budget: of the plan's precision.
        calibration: of the score.
    """
    keypoints, scores = SimccCode.of(recipe).decode(*reference, recipe.temperature, calibration)
    clear = np.logical_and(*(_is_clear(logits, budget.tie) for logits in reference))
    return Trial(crops, keypoints, scores, clear, budget.shift_px, budget.moved_share)


def check_parity(parity: Parity, recipe: Recipe, *, name: str) -> None:
    """Raise unless `parity` holds.

    Raises:
        GateError: the first budget that is exceeded, and the worst joints by name.
    """
    if parity.holds:
        return
    joints = skeleton(recipe.skeleton).joints
    worst = ", ".join(f"{joints[joint]} of crop {crop} by {px:.2f} px" for crop, joint, px in parity.moved[:_SHOWN])
    moved = f"{len(parity.moved)} of {parity.joints} joints moved{': ' + worst if worst else ''}"
    raise GateError(
        f"{name}: the artefact differs from the network: logits by {parity.logit_error:.1e} of their spread (budget "
        f"{parity.budget.logits:g}), {moved}, scores by {parity.score_error:.1e} (budget {parity.score_budget:.1e})",
        cure="Nothing was written. Check the weights (amfac-info FILE); report it if they are sound.",
    )


def normalised(crops: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """Crops (N,H,W,3) uint8 BGR -> (N,3,H,W) float32 RGB as the network takes them; float64 rounded once."""
    rgb = crops[..., ::-1].astype(np.float64) / 255
    planes = ((rgb - recipe.mean) / recipe.std).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(planes, np.float32)


def generated_crops(recipe: Recipe, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """`generated_pictures` (count,H,W,3) of the recipe's size."""
    return generated_pictures(recipe.crop.height, recipe.crop.width, count, seed)


def generated_pictures(height: int, width: int, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures (count,H,W,3) uint8 that need no photo: white noise, smooth noise of several grains, and flat ones."""
    random = np.random.default_rng(seed)
    makers: list[Callable[[], NDArray[np.uint8]]] = [
        lambda: random.integers(0, 256, (height, width, 3), np.uint8),
        lambda: _smooth(random, height, width, grain=8),
        lambda: _smooth(random, height, width, grain=32),
        lambda: np.broadcast_to(random.integers(0, 256, 3, np.uint8), (height, width, 3)),
    ]
    return np.stack([makers[index % len(makers)]() for index in range(count)])


def _smooth(random: np.random.Generator, height: int, width: int, grain: int) -> NDArray[np.uint8]:
    """Noise on a coarse grid, interpolated linearly along both axes."""
    coarse = random.uniform(0, 255, (height // grain + 2, width // grain + 2, 3))
    for axis, size in ((0, height), (1, width)):
        place = np.arange(size) / grain
        low = place.astype(int)
        part = (place - low).reshape([-1 if index == axis else 1 for index in range(3)])
        coarse = np.take(coarse, low, axis) * (1 - part) + np.take(coarse, low + 1, axis) * part
    return coarse.round().astype(np.uint8)


def _relative_error(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    spread = float(np.ptp(reference)) or 1.0
    error = float(np.abs(reference.astype(np.float64) - found).max())
    return error / spread


def _is_clear(logits: NDArray[np.float32], tie: float) -> NDArray[np.bool_]:
    """(N,K): whether the best bin of (N,K,bins) leads the second one by more than twice `tie` of the spread."""
    best = np.partition(logits, -2, axis=-1)[..., -2:]
    return best[..., 1] - best[..., 0] > 2 * tie * np.ptp(logits)
