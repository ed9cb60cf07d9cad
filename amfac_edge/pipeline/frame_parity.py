"""Whether the crops that a frame graph cuts out are the right ones, and what that means for the joints.

The gate is arithmetic's: each sampled pixel is the float64 bilinear value, rounded, within what float32 coordinates
allow. What the network makes of its crops is compared by `graph.parity` like any artefact's, on pictures that lie side
by side in a frame and are cut out pixel by pixel. How many joints agree with those of exact crops and of OpenCV's is
recorded beside it: a crop that differs by one level in a few pixels may decide a tie otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from amfac_edge.artefact.trial import crops_in_a_frame
from amfac_edge.errors import GateError
from amfac_edge.graph.frame import SAMPLED_CROPS
from amfac_edge.graph.onnx_values import shape_of
from amfac_edge.graph.parity import generated_pictures, normalised
from amfac_edge.keypoints import (
    SimccCode,
    crop_affines,
    exact_crop,
    load_opencv,
    transform_points,
    warp_crops,
)
from amfac_edge.pipeline.sources import in_batches
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.graph.parity import Budget
    from amfac_edge.pipeline.sources import Source

    Network = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]

__all__ = ["Sampling", "check_sampling", "compare_sampling", "montage"]

_FRAMES = ((270, 480), (400, 300))
# Of a frame's sides, x1 y1 x2 y2: within it, across two of its borders, and reaching beyond all four.
_BOXES = ((0.2, 0.1, 0.6, 0.9), (-0.2, 0.5, 0.3, 1.2), (0.6, -0.3, 1.2, 0.4), (-0.3, -0.3, 1.3, 1.3))
_ROTATIONS = (0.0, 0.4, 0.0, -2.0)
_LEVELS = 255


@dataclass(frozen=True)
class Sampling:
    """What the comparison found.

    Attributes:
        people: that were cut out of generated frames.
        level_error: largest distance in levels of 0..255 from the float64 bilinear value, which rounding alone makes ½.
        level_budget: what float32 coordinates allow.
        differing: share of the values that are another integer than the exact one rounded.
        joints: number of joints.
        as_exact: joints at the same place (as `Budget.shift_px`) as the network itself finds in exact crops.
        as_opencv: the same for crops by OpenCV.
        opencv_level_error: largest difference in levels from OpenCV's crops.
        opencv: its version.
    """

    people: int
    level_error: float
    level_budget: float
    differing: float
    joints: int
    as_exact: int
    as_opencv: int
    opencv_level_error: float
    opencv: str

    @property
    def holds(self) -> bool:
        """Whether the crops are within budget; false for NaN."""
        return self.level_error <= self.level_budget

    def as_json(self) -> dict[str, object]:
        """The evidence for the manifest."""
        return {
            "people": self.people,
            "level_error": self.level_error,
            "level_budget": self.level_budget,
            "differing_share": self.differing,
            "joints": self.joints,
            "joints_as_exact_crops": self.as_exact,
            f"joints_as_opencv_{self.opencv}": self.as_opencv,
            "opencv_level_error": self.opencv_level_error,
        }


def compare_sampling(source: Source, model: ModelProto, budget: Budget, logits: Network | None = None) -> Sampling:
    """Run a frame graph on generated frames, and the network itself on exact crops and on OpenCV's.

    Args:
        source: of the network.
        model: of `frame_graph`, in float32 (or the rounded twin of a half one).
        budget: says from which distance on a joint is at another place.
        logits: the network, images (N,3,H,W) to logits; None for that of `source`.
    """
    recipe = source.recipe
    network = logits or source.model.logits
    scenes = [_scene(recipe, *size, seed) for seed, size in enumerate(_FRAMES)]
    keypoints, crops = _run(model, scenes)
    affines = np.concatenate([one for _, one in scenes])
    exact = np.concatenate([_exact(frame, one, recipe) for frame, one in scenes])
    warped = np.empty((len(affines), recipe.crop.height, recipe.crop.width, 3), np.uint8)
    for number, (frame, one) in enumerate(scenes):
        warp_crops(frame, one, warped[number * len(one) : (number + 1) * len(one)])
    rounded = np.rint(exact).astype(np.uint8)
    places = [_network_joints(source, network, each, affines) for each in (rounded, warped)]
    scale = np.hypot(affines[:, 0, 0], affines[:, 1, 0])[:, None]
    as_exact, as_opencv = (
        int(np.count_nonzero(np.linalg.norm(keypoints - each, axis=-1) <= budget.shift_px * scale)) for each in places
    )
    sides = max(sum(size) for size in _FRAMES)
    return Sampling(
        people=len(affines),
        level_error=float(np.abs(crops - exact).max()),
        # A place passes five float32 roundings of up to 2^-24 of twice a side each; a pixel of it is up to 255 levels.
        level_budget=0.5 + _LEVELS * 10 * sides * 2.0**-24,
        differing=float(np.mean(crops != rounded)),
        joints=keypoints.shape[0] * keypoints.shape[1],
        as_exact=as_exact,
        as_opencv=as_opencv,
        opencv_level_error=float(np.abs(crops - warped).max()),
        opencv=load_opencv("comparing crops").__version__,
    )


def check_sampling(sampling: Sampling, *, name: str) -> None:
    """Raise unless `sampling` holds.

    Raises:
        GateError: by how much the crops are off.
    """
    if not sampling.holds:
        raise GateError(
            f"{name}: the crops that the graph cuts out are off by {sampling.level_error:.2f} of 255 levels "
            f"(budget {sampling.level_budget:.2f})",
            cure="Nothing was written. Use --input crops, and report it with the version of onnxruntime.",
        )


def montage(crops: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops (N,H,W,3) one below the other in a frame (N·H,W,3), and affines (N,2,3); see `crops_in_a_frame`."""
    return crops_in_a_frame(crops)


def _scene(recipe: Recipe, height: int, width: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    # White noise, where a wrong place shows most, and smooth noise.
    frame = generated_pictures(height, width, 2, seed)[seed % 2]
    boxes = np.array(_BOXES) * [width, height, width, height]
    return frame, crop_affines(boxes, recipe.crop, _ROTATIONS)


def _exact(frame: NDArray[np.uint8], affines: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    return np.stack([exact_crop(frame, affine, recipe.crop.height, recipe.crop.width) for affine in affines])


def _run(
    model: ModelProto, scenes: list[tuple[NDArray[np.uint8], NDArray[np.float64]]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints (N,K,2) in frame pixels, and the crops (N,H,W,3) that the graph cut out."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(helper.make_tensor_value_info(SAMPLED_CROPS, TensorProto.FLOAT, None))
    graph = RawGraph(probe.SerializeToString(), name="the exported graph")
    fixed = shape_of(model.graph.input[1])[0]
    keypoints, crops = [], []
    for frame, affines in scenes:
        size = fixed if isinstance(fixed, int) else len(affines)
        parts = [graph.run({"frame": frame, "affines": part.astype(np.float32)}) for part in in_batches(affines, size)]
        found, _, planes = (np.concatenate(column)[: len(affines)] for column in zip(*parts, strict=True))
        keypoints.append(found)
        crops.append(planes.transpose(0, 2, 3, 1))
    return np.concatenate(keypoints), np.concatenate(crops)


def _network_joints(
    source: Source, network: Network, crops: NDArray[np.uint8], affines: NDArray[np.float64]
) -> NDArray[np.float64]:
    x, y = network(normalised(crops, source.recipe))
    keypoints, _ = SimccCode.of(source.recipe).decode(x, y, source.recipe.temperature, source.score_calibration)
    return transform_points(keypoints, affines)
