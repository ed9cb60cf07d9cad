"""From a person's box to a crop and back: one affine rule, forwards and backwards.

Letters: N people, K keypoints, H x W the crop. A pixel's centre has integer coordinates, so a crop reaches from -0.5
to W - 0.5. An affine is (2, 3) and maps crop pixels to frame pixels, as `cv2.warpAffine` wants it with
`WARP_INVERSE_MAP`:

    [x_frame]       [cos -sin] ([x_crop]            )
    [y_frame]  = s  [sin  cos] ([y_crop]  -  anchor )  +  centre of the box

    s = padding * max(box width / W, box height / H)      frame pixels for each crop pixel, the same on both axes
    anchor = ((W - 1) / 2, (H - 1) / 2)                   or (W / 2, H / 2) where `CropRule.pixel_centres` is false

That is: the box is grown on its shorter side to the crop's aspect ratio, then on both by the padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.declared.recipe import CropRule

__all__ = ["crop_affines", "inverse_affines", "transform_points"]


def crop_affines(boxes: NDArray[np.float64], rule: CropRule, rotations: ArrayLike | None = None) -> NDArray[np.float64]:
    """The affines that map each box's crop to the frame.

    Args:
        boxes: (N, 4) xyxy in frame pixels, as `checked_boxes` returns them.
        rule: size, padding and anchor of the crop.
        rotations: (N,) or one number, in radians: the crop's x axis points along (cos, sin) in the frame, so a positive
            angle turns the crop's frame clockwise on the screen. None is upright.

    Returns:
        (N, 2, 3) float64, crop pixels to frame pixels.
    """
    extents = boxes[:, 2:] - boxes[:, :2]
    scales = (extents * (rule.padding / rule.width, rule.padding / rule.height)).max(axis=1)
    shift = 1 if rule.pixel_centres else 0
    anchor = ((rule.width - shift) / 2, (rule.height - shift) / 2)
    affines = np.zeros((len(boxes), 2, 3))
    if rotations is None:
        affines[:, 0, 0] = scales
        affines[:, 1, 1] = scales
    else:
        affines[:, 0, 0] = affines[:, 1, 1] = scales * np.cos(rotations)
        affines[:, 1, 0] = scales * np.sin(rotations)
        affines[:, 0, 1] = -affines[:, 1, 0]
    affines[:, :, 2] = (boxes[:, :2] + boxes[:, 2:]) / 2 - affines[:, :, :2] @ anchor
    return affines


def inverse_affines(affines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of each affine: frame pixels to crop pixels.

    Args:
        affines: (N, 2, 3) float64, none of them singular.

    Returns:
        (N, 2, 3) float64.
    """
    linear = np.linalg.inv(affines[:, :, :2]).astype(np.float64, copy=False)
    return np.concatenate([linear, -linear @ affines[:, :, 2:]], axis=2)


def transform_points(points: NDArray[np.floating], affines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points of each person through that person's affine.

    Args:
        points: (N, K, 2) x, y.
        affines: (N, 2, 3).

    Returns:
        (N, K, 2) float64.
    """
    return points @ affines[:, :, :2].transpose(0, 2, 1) + affines[:, None, :, 2]
