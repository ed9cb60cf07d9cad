"""The pipeline that people write by hand around a raw SimCC network: the yardstick that ours is measured against.

Crop by `cv2.warpAffine`, float normalisation, transposition, argmax in NumPy, one call a person. It finds the same
joints.
Letters: N people, K joints, H x W the crop, k bins a pixel.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.keypoints import SimccCode, crop_affines, transform_points, warp_crops

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe

    Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

__all__ = ["HandWritten"]


class HandWritten:
    """A frame and boxes to joints, over a raw network.

    Args:
        network: normalised RGB (1,3,H,W) float32 -> logits (1,K,W·k), (1,K,H·k).
        recipe: of the network.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self._network = network
        self._recipe = recipe
        self._mean = np.array(recipe.mean, np.float32) * 255
        self._std = np.array(recipe.std, np.float32) * 255

    def timed(self, frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """The joints (N,K,2) in frame pixels, and the milliseconds that the network alone took."""
        crop_rule = self._recipe.crop
        affines = crop_affines(boxes, crop_rule)
        crop = np.empty((1, crop_rule.height, crop_rule.width, 3), np.uint8)
        joints, network_s = [], 0.0
        for affine in affines:
            warp_crops(frame, affine[None], crop)
            image = ((crop[..., ::-1].astype(np.float32) - self._mean) / self._std).transpose(0, 3, 1, 2)
            image = np.ascontiguousarray(image)
            started = perf_counter()
            logits = self._network(image)
            network_s += perf_counter() - started
            keypoints, _ = SimccCode.of(self._recipe).decode(*logits, self._recipe.temperature)
            joints.append(transform_points(keypoints, affine[None])[0])
        return np.stack(joints), network_s * 1e3
