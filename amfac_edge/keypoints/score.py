"""The calibration of a joint's score: a map that makes it the probability that the joint is right.

Platt scaling of the plain score s = min over both axes of max softmax(logits / T): p = sigmoid(a·logit(s) + b), a > 0,
so that the order is that of s. Platt, "Probabilistic Outputs for Support Vector Machines", 1999. N people, K joints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.declared.reading import reading
from amfac_edge.errors import DeclaredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


__all__ = [
    "FARTHEST",
    "FLATTEST",
    "SCORE_CALIBRATION_KEY",
    "SCORE_MARGIN",
    "STEEPEST",
    "ScoreCalibration",
    "score_calibration_from_json",
    "score_logits",
]

SCORE_CALIBRATION_KEY = "score_calibration"
"""Where it stands among the facts of a checkpoint and of a manifest."""

SCORE_MARGIN = 1e-4
"""Scores nearer to 0 or 1 than this count as this near: log(1 - s) has no digits left in float32 beyond."""

_KIND = "platt"
FLATTEST, STEEPEST, FARTHEST = 1e-3, 100.0, 1000.0
"""Limits of the slope, and of the intercept on both sides of 0."""
_SIZE_LIMIT = 16 << 10
_DIGEST = frozenset("0123456789abcdef")
_CURE = "Fit it anew: amfac-eval CHECKPOINT --data ... --calibrate-score OUT."


@dataclass(frozen=True)
class ScoreCalibration:
    """What was fitted, and on what.

    Attributes:
        temperature: T of the plain score, in place of the recipe's.
        slope: a, above 0.
        intercept: b.
        weights_sha256: of the weights that it was fitted for; empty where that was not said.
        fitted_on: the evidence, as JSON: data, split by seed, threshold, figures on the part that was held out.
    """

    temperature: float
    slope: float
    intercept: float
    weights_sha256: str = ""
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def applied(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """The probabilities of plain scores.

        Args:
            scores: (N, K) in 0..1.

        Returns:
            (N, K) float32 in 0..1.
        """
        # A sigmoid by tanh overflows nowhere.
        exponents = self.slope * score_logits(scores) + self.intercept
        return (0.5 + 0.5 * np.tanh(exponents / 2)).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """The block of a checkpoint's facts."""
        return {
            "kind": _KIND,
            "temperature": self.temperature,
            "slope": self.slope,
            "intercept": self.intercept,
            "weights_sha256": self.weights_sha256,
            "fitted_on": dict(self.fitted_on),
        }

    def sentence(self) -> str:
        """The definition of the calibrated score, behind that of the plain one."""
        return (
            f"then sigmoid({self.slope:.6g} * log(s / (1 - s)) + {self.intercept:.6g}), s kept {SCORE_MARGIN:g} away "
            "from 0 and 1"
        )


def score_logits(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """log(s / (1 - s)) of scores kept within `SCORE_MARGIN` and 1 - `SCORE_MARGIN`.

    Args:
        scores: (N, K) in 0..1.

    Returns:
        (N, K).
    """
    kept = np.clip(np.asarray(scores, np.float64), SCORE_MARGIN, 1 - SCORE_MARGIN)
    logits: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return logits


def score_calibration_from_json(data: object, *, where: str) -> ScoreCalibration:
    """Read the block of a file's facts, which anybody may have written.

    Raises:
        DeclaredError: another kind, numbers out of their ranges, unknown keys, or more than 16 KiB.
    """
    _check_size(data, where)
    with reading(data, where=where) as table:
        table.text("kind", choices=(_KIND,))
        digest = table.text("weights_sha256", default="")
        if digest and (len(digest) != 64 or not _DIGEST.issuperset(digest)):  # noqa: PLR2004 - SHA-256 in hex
            table.fault("weights_sha256", "not a SHA-256 in hex")
        evidence = table.raw("fitted_on")
        if not isinstance(evidence, dict | type(None)):
            table.fault("fitted_on", "expected a table")
        return ScoreCalibration(
            temperature=table.number("temperature", minimum=1e-3, maximum=1e3),
            slope=table.number("slope", minimum=FLATTEST, maximum=STEEPEST),
            intercept=table.number("intercept", minimum=-FARTHEST, maximum=FARTHEST),
            weights_sha256=digest,
            fitted_on=evidence if isinstance(evidence, dict) else {},
        )


def _check_size(data: object, where: str) -> None:
    try:
        size = len(json.dumps(data, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise DeclaredError(f"{where}: not JSON: {str(error)[:80]}", cure=_CURE) from None
    if size > _SIZE_LIMIT:
        raise DeclaredError(f"{where}: {size:,} bytes, where {_SIZE_LIMIT:,} are enough", cure=_CURE)
