"""How one training crop differs from the crop that the runtime would cut: `AugmentationRule` of the recipe.

Geometry is one affine, so that a crop is warped once, whatever it is turned and scaled by. What is random is drawn from
the generator that the caller passes, in one order: the same generator gives the same crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.robustness import low_light
from amfac_edge.keypoints import crop_affines, load_opencv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import CropRule
    from amfac_edge.declared.training_fields import AugmentationRule
    from amfac_edge.keypoints import Bgr

__all__ = ["Border", "changed_colour", "occluded", "random_border", "varied_affine", "varied_light"]

_BRIGHTNESS, _CONTRAST, _BALANCE = 50.0, (0.6, 1.4), (0.85, 1.15)
_STOPS = (1.0, 4.0)
_OCCLUDED = (0.1, 0.4)


@dataclass(frozen=True)
class Border:
    """What lies outside the picture.

    Attributes:
        kind: "black", "colour", "edge" (the outermost pixels continued) or "mirror".
        colour: BGR, of "colour".
    """

    kind: str = "black"
    colour: tuple[int, int, int] = (0, 0, 0)


def varied_affine(
    box: NDArray[np.float64], crop: CropRule, rule: AugmentationRule, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The affine of a box's crop, turned and scaled around the middle of the box.

    Args:
        box: (4,) xyxy in picture pixels.
        crop: of the recipe.
        rule: ranges of angle and scale, uniform within both.
        rng: two numbers are drawn.

    Returns:
        (2, 3) float64, crop pixels to picture pixels.
    """
    angle = np.deg2rad(rng.uniform(-rule.rotation, rule.rotation))
    scale = rng.uniform(*rule.scale)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale
    scaled = np.concatenate([middle - half, middle + half])
    return crop_affines(scaled[None], crop, angle)[0]


def random_border(rng: np.random.Generator) -> Border:
    """Black, as at inference, for one crop in two; else a colour, the edge or the mirror."""
    kind = ("black", "black", "black", "colour", "edge", "mirror")[rng.integers(6)]
    blue, green, red = rng.integers(0, 256, size=3).tolist()
    return Border(kind, (blue, green, red))


def varied_light(crop: Bgr, rule: AugmentationRule, rng: np.random.Generator) -> Bgr:
    """The crop in another light, by the rule's probabilities: colour, low light, a hidden part.

    Args:
        crop: (H, W, 3) uint8 BGR.
        rule: the probabilities.
        rng: of what is drawn.

    Returns:
        (H, W, 3) uint8 BGR; `crop` itself where nothing happened.
    """
    if rule.colour and rng.random() < rule.colour:
        crop = changed_colour(crop, rng)
    if rule.occlusion and rng.random() < rule.occlusion:
        crop = occluded(crop, rng)
    if rule.low_light and rng.random() < rule.low_light:
        crop = low_light(2.0 ** -rng.uniform(*_STOPS), crop, int(rng.integers(1 << 31)))
    return crop


def changed_colour(crop: Bgr, rng: np.random.Generator) -> Bgr:
    """Brightness, contrast and colour balance changed, as one table of 256 values for each channel.

    Args:
        crop: (H, W, 3) uint8 BGR.
        rng: five numbers are drawn.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    cv2 = load_opencv("changing colours")
    gains = rng.uniform(*_CONTRAST) * rng.uniform(*_BALANCE, size=3)
    shift = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    values = np.arange(256.0)[:, None]
    # Contrast turns around middle grey, so that it doesn't change the brightness.
    table = np.clip((values - 127.5) * gains + 127.5 + shift, 0, 255)
    changed: Bgr = cv2.LUT(crop, np.rint(table).astype(np.uint8)[None])
    return changed


def occluded(crop: Bgr, rng: np.random.Generator) -> Bgr:
    """A rectangle of one colour, or of noise, over a part of the crop; the joints behind it stay labelled.

    Args:
        crop: (H, W, 3) uint8 BGR.
        rng: of place, size and filling.

    Returns:
        (H, W, 3) uint8 BGR, a copy.
    """
    height, width = crop.shape[:2]
    rows, columns = (max(1, round(side * rng.uniform(*_OCCLUDED))) for side in (height, width))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    colour = rng.integers(0, 256, size=3)
    noisy = rng.random() < 0.5  # noqa: PLR2004 - as many plain ones as noisy ones
    filling = rng.integers(0, 256, size=(rows, columns, 3)) if noisy else colour
    hidden = crop.copy()
    hidden[top : top + rows, left : left + columns] = filling
    return hidden
