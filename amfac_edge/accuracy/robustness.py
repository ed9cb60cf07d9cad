"""The same score under low light and motion blur, which both papers name as limits.

The disturbances act on the crop, not on the picture, so that their strength is the same for a near and a far person.
Each box has a seed of its own: the same data give the same curve.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.predicting import predict_people
from amfac_edge.accuracy.scoring import score_people
from amfac_edge.drawing import Panel, Series, draw_curves
from amfac_edge.files import write_bytes
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.accuracy.predicting import Disturb, Predictor
    from amfac_edge.accuracy.predictions import Boxes
    from amfac_edge.accuracy.scoring import Protocol
    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.keypoints import Bgr

__all__ = [
    "BLURS",
    "LIGHTS",
    "CurvePoint",
    "curve_picture",
    "low_light",
    "motion_blur",
    "robustness_curve",
    "write_curve",
]

LIGHTS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
"""Light that is left, as a part."""
BLURS = (0.0, 0.02, 0.04, 0.08, 0.12, 0.16)
"""Length of the smear, as a part of the crop's height."""

_GAMMA = 2.2
_SHOT_NOISE, _READ_NOISE = 0.02, 0.004
_PLOT = (300, 420)


@dataclass(frozen=True)
class CurvePoint:
    """The score at one strength of one disturbance ("low light", "motion blur"; strength as in `LIGHTS`, `BLURS`)."""

    kind: str
    strength: float
    metric: str
    value: float


def robustness_curve(
    predictor: Predictor,
    people: PeopleSet,
    boxes: Boxes,
    protocol: Protocol,
    *,
    pck_threshold: float = 0.1,
    on_fault: OnFault = "refuse",
    progress: Callable[[int], None] | None = None,
) -> tuple[CurvePoint, ...]:
    """The protocol's first figure (AP or PCK) at each strength; the first point of each curve is undisturbed."""

    def scored(disturb: Disturb | None) -> tuple[str, float]:
        found = predict_people(predictor, people, boxes, disturb=disturb, on_fault=on_fault, progress=progress)
        seen = people.of_images(people.images.keys() - found.unread.keys()) if found.unread else people
        score = score_people(seen, found.predictions, protocol, pck_threshold=pck_threshold)
        metric, value = next(iter(score.metrics.items()))
        return metric, -1.0 if value is None else value

    clean = scored(None)
    return tuple(
        CurvePoint(kind, strength, *(clean if strength == strengths[0] else scored(partial(disturb, strength))))
        for kind, strengths, disturb in (("low light", LIGHTS, low_light), ("motion blur", BLURS, motion_blur))
        for strength in strengths
    )


def low_light(light: float, crop: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The crop as a camera would see it with this part of the light: linear gain, shot and read noise, gamma 2.2.

    Args:
        light: within 0 and 1.
        crop: (H, W, 3) uint8.
        number: of the box, the noise's seed.

    Returns:
        (H, W, 3) uint8.
    """
    rng = np.random.default_rng([1, number])
    signal = (crop / 255.0) ** _GAMMA * light
    noise = rng.normal(size=crop.shape) * np.sqrt(_SHOT_NOISE**2 * signal + _READ_NOISE**2)
    return np.rint(np.clip(signal + noise, 0, 1) ** (1 / _GAMMA) * 255).astype(np.uint8)


def motion_blur(length: float, crop: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The crop smeared along a straight line in a direction that belongs to its box.

    Args:
        length: of the smear, as a part of the crop's height.
        crop: (H, W, 3) uint8.
        number: of the box, the direction's seed.

    Returns:
        (H, W, 3) uint8; the edge pixels are repeated beyond the edge.
    """
    cv2 = load_opencv("blurring crops")
    reach = length * crop.shape[0] / 2
    angle = np.random.default_rng([2, number]).uniform(0, np.pi)
    half = int(np.ceil(reach))
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    along = np.clip(columns * np.cos(angle) + rows * np.sin(angle), -reach, reach)
    distance = np.hypot(columns - along * np.cos(angle), rows - along * np.sin(angle))
    kernel = np.maximum(0, 1 - distance)
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def write_curve(path: Path, points: Sequence[CurvePoint]) -> None:
    """Write the points as CSV: disturbance, strength, metric, value; atomic."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["disturbance", "strength", "metric", "value"])
    writer.writerows([point.kind, f"{point.strength:g}", point.metric, f"{point.value:.6f}"] for point in points)
    write_bytes(path, text.getvalue().encode())


def curve_picture(points: Sequence[CurvePoint]) -> Bgr:
    """The curves side by side, one for each disturbance.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    kinds = list(dict.fromkeys(point.kind for point in points))
    panels = [_panel(kind, [point for point in points if point.kind == kind]) for kind in kinds]
    return draw_curves(panels, columns=len(panels), plot=_PLOT)


def _panel(kind: str, points: list[CurvePoint]) -> Panel:
    """The strengths stand at equal distances: they are no even steps of anything."""
    values = np.array([point.value for point in points])
    return Panel(
        title=f"{points[0].metric} under {kind}",
        series=[Series("", range(len(points)), np.maximum(values, 0), dots=True)],
        x_label="light that is left" if kind == "low light" else "smear / crop height",
        y_range=(0, max(0.1, np.ceil(values.max() * 10) / 10)),
        x_ticks={index: f"{point.strength:.3g}" for index, point in enumerate(points)},
    )
