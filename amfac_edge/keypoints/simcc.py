"""SimCC: a coordinate as a classification over bins, encoded and decoded in one place.

Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation", ECCV 2022, 3.1 and 3.2.
Letters: N people, K keypoints, k the split ratio (bins a pixel), Wk = W·k and Hk = H·k bins of a W x H crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from amfac_edge.errors import DeclaredError, near_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints.score import ScoreCalibration

__all__ = ["SimccCode", "TargetKind", "axis_scores"]

TargetKind = Literal["gaussian", "one-hot", "smoothed"]


@dataclass(frozen=True)
class SimccCode:
    """The code of one crop size.

    Attributes:
        width: W of the crop, in pixels.
        height: H of the crop, in pixels.
        split_ratio: k, bins a pixel.
        bin_centres: true: bin b stands for x = (b + 1/2)/k - 1/2, so that mirroring a picture reverses the bins. False:
            for x = b/k, as foreign networks were trained.
    """

    width: int
    height: int
    split_ratio: float = 2.0
    bin_centres: bool = True

    @classmethod
    def of(cls, recipe: Recipe) -> SimccCode:
        """The code of a recipe."""
        return cls(recipe.crop.width, recipe.crop.height, recipe.split_ratio, recipe.bin_centres)

    @property
    def bins(self) -> tuple[int, int]:
        """Number of bins (x, y): (W·k, H·k)."""
        return round(self.width * self.split_ratio), round(self.height * self.split_ratio)

    def encode(
        self,
        points: NDArray[np.floating],
        *,
        kind: TargetKind = "gaussian",
        sigma_bins: float = 6.0,
        smoothing: float = 0.1,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Training targets: for each joint and axis a distribution over the bins.

        Args:
            points: (N, K, 2) x, y in crop pixels. A point outside the crop, or NaN, has no bin: both its rows are
                zeros, which weighs nothing in a cross-entropy. `inside` says which.
            kind: "gaussian" (around the point itself, not around its bin), "one-hot" (the nearest bin), or "smoothed":
                label smoothing (Szegedy et al. 2016, section 7), 1 - e of the mass on the nearest bin and e spread
                evenly over all of them.
            sigma_bins: standard deviation of the Gaussian, in bins.
            smoothing: e.

        Returns:
            (N, K, Wk) and (N, K, Hk) float32, each row with the sum 1, or 0 where the point is outside.

        Raises:
            DeclaredError: unknown kind, a sigma that is not above 0, or an e outside 0..1.
        """
        if kind not in _KINDS:
            raise DeclaredError(f'unknown kind of SimCC target "{kind}"', cure=near_names(kind, _KINDS))
        if not sigma_bins > 0 or not 0 <= smoothing <= 1:
            raise DeclaredError(
                f"SimCC targets with sigma {sigma_bins:g} bins and smoothing {smoothing:g}",
                cure="The sigma must be above 0, the smoothing within 0 and 1.",
            )
        inside = self.inside(points)
        places = np.where(inside[..., None], self._bins_of(points), 0.0)
        x, y = (
            _distributions(places[..., axis], count, kind, sigma_bins, smoothing) * inside[..., None]
            for axis, count in enumerate(self.bins)
        )
        return x.astype(np.float32), y.astype(np.float32)

    def inside(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which points have a bin on both axes: for `bin_centres`, -0.5 <= x <= W - 0.5 and -0.5 <= y <= H - 0.5.

        Args:
            points: (N, K, 2) in crop pixels.

        Returns:
            (N, K); false for NaN.
        """
        places = self._bins_of(points)
        half = 0.5
        within = (places >= -half) & (places <= np.array(self.bins) - half)
        return np.asarray(within.all(axis=-1))

    def decode(
        self,
        x_logits: NDArray[np.float32],
        y_logits: NDArray[np.float32],
        temperature: float = 1.0,
        calibration: ScoreCalibration | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints and their scores.

        Args:
            x_logits: (N, K, Wk).
            y_logits: (N, K, Hk).
            temperature: T of the score.
            calibration: of the score, with a T of its own.

        Returns:
            keypoints (N, K, 2) float32 in crop pixels, the highest bin of each axis (the first of equal ones); scores
            (N, K) float32 in 0..1, the smaller of the two axes' highest softmax(logits / T), calibrated.

        Raises:
            ValueError: the logits have other numbers of bins than this code.
        """
        if (x_logits.shape[-1], y_logits.shape[-1]) != self.bins:
            message = f"logits of {x_logits.shape[-1]} and {y_logits.shape[-1]} bins for a code of {self.bins}"
            raise ValueError(message)
        peaks = np.stack([x_logits.argmax(axis=-1), y_logits.argmax(axis=-1)], axis=-1)
        keypoints = self._pixels_of(peaks).astype(np.float32)
        scores = axis_scores(x_logits, y_logits, calibration.temperature if calibration else temperature).min(axis=-1)
        return keypoints, calibration.applied(scores) if calibration else scores

    def flip(
        self, x_logits: NDArray[np.float32], y_logits: NDArray[np.float32], flip_order: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same logits for the mirrored crop: x bins reversed, left and right joints exchanged.

        With `bin_centres` this is exactly the mirror x -> W - 1 - x of the picture's columns. Without, it is the mirror
        x -> W - 1/k - x, (k - 1)/k pixels beside it; that is what the flip test of such networks does.

        Args:
            x_logits: (N, K, Wk).
            y_logits: (N, K, Hk).
            flip_order: the skeleton's `flip_order`.

        Returns:
            (N, K, Wk) and (N, K, Hk).
        """
        order = list(flip_order)
        return x_logits[:, order, ::-1], y_logits[:, order]

    def _bins_of(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        places = np.asarray(points, dtype=np.float64)
        return (places + 0.5) * self.split_ratio - 0.5 if self.bin_centres else places * self.split_ratio

    def _pixels_of(self, bins: NDArray[np.intp]) -> NDArray[np.float64]:
        places = bins.astype(np.float64)
        return (places + 0.5) / self.split_ratio - 0.5 if self.bin_centres else places / self.split_ratio


_KINDS = ("gaussian", "one-hot", "smoothed")


def _distributions(
    places: NDArray[np.float64], count: int, kind: TargetKind, sigma_bins: float, smoothing: float
) -> NDArray[np.float64]:
    """(N, K) places in bins to (N, K, count) rows with the sum 1."""
    bins = np.arange(count)
    if kind == "gaussian":
        squares = (bins - places[..., None]) ** 2
        # Relative to the nearest bin, so that a narrow Gaussian between two bins does not underflow to an empty row.
        weights = np.exp((squares.min(axis=-1, keepdims=True) - squares) / (2 * sigma_bins**2))
        return weights / weights.sum(axis=-1, keepdims=True)
    nearest = np.clip(np.floor(places + 0.5), 0, count - 1)
    one_hot = (bins == nearest[..., None]).astype(np.float64)
    return one_hot if kind == "one-hot" else (1 - smoothing) * one_hot + smoothing / count


def axis_scores(
    x_logits: NDArray[np.float32], y_logits: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """How sure each axis of a joint is, by itself.

    Args:
        x_logits: (N, K, Wk).
        y_logits: (N, K, Hk).
        temperature: T.

    Returns:
        (N, K, 2) float32 in 0..1, the highest softmax(logits / T) of x and of y.
    """
    scores = np.empty((*x_logits.shape[:-1], 2), np.float32)
    for axis, logits in enumerate((x_logits, y_logits)):
        below = (logits - logits.max(axis=-1, keepdims=True)) / np.float32(temperature)
        # max softmax = 1 / sum(exp(l - max)); nothing can overflow.
        scores[..., axis] = 1 / np.exp(below).sum(axis=-1, dtype=np.float32)
    return scores
