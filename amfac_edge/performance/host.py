"""What a frame costs outside the network: `PoseEstimator` over a session that costs nothing.

The crops and buffers stay in the processor's caches here, which a real network would have emptied between two frames;
the rows `crop` and `decode` of `measure_artefact` have that as well.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import BatchRange, Manifest
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.keypoints import crop_affines, skeleton, warp_crops
from amfac_edge.performance.measuring import conditions_of, people_boxes
from amfac_edge.performance.samples import Measured
from amfac_edge.performance.timing import series
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import SessionSettings

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.performance.timing import Limits

__all__ = ["HOST_BUDGET_FRAME", "HOST_BUDGET_MS", "ConstantSession", "HostCost", "measure_host"]

# The most that a person may cost outside the network in a frame of that size.
HOST_BUDGET_MS = 0.5
HOST_BUDGET_FRAME = "1920x1080"


@dataclass(frozen=True)
class HostCost:
    """Of one recipe and one number of people.

    Attributes:
        measured: whole frames, pixels and boxes to joints, less the network.
        warp_ms: beside every frame, OpenCV's part of it alone: cutting the same crops.
    """

    measured: Measured
    warp_ms: tuple[float, ...]

    @property
    def person_ms(self) -> float:
        """The median frame's milliseconds a person."""
        return self.measured.statistics.median / self.measured.conditions.people

    @property
    def python_us(self) -> float:
        """Median microseconds of a frame that are not OpenCV's: checks, affines, the way back."""
        pairs = zip(self.measured.samples_ms, self.warp_ms, strict=True)
        return statistics.median(whole - warp for whole, warp in pairs) * 1e3


class ConstantSession:
    """A `PoseSession` that finds every joint in the crop's middle, in no time: a place-holder for the network.

    Args:
        recipe: whose crops it takes.
        people: the most that it is called with.
    """

    def __init__(self, recipe: Recipe, people: int) -> None:
        joints = len(skeleton(recipe.skeleton).joints)
        self.manifest = Manifest("none", "fp32", "crops", BatchRange(1, 1, 1), recipe, inputs=(), outputs=())
        self.settings = SessionSettings("no network", "constant", threads=1, spinning=False)
        middle = ((recipe.crop.width - 1) / 2, (recipe.crop.height - 1) / 2)
        self._keypoints = np.full((people, joints, 2), middle, np.float32)
        self._scores = np.ones((people, joints), np.float32)

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `PoseSession.run`; N is at most `people`."""
        return self._keypoints[: len(crops)], self._scores[: len(crops)]

    def close(self) -> None:
        """See `PoseSession.close`; there is nothing to free."""

    def __enter__(self) -> ConstantSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def measure_host(recipe_name: str, *, frame: NDArray[np.uint8], people: int, limits: Limits) -> HostCost:
    """Measure the work around the network.

    Args:
        recipe_name: of the recipe, or the path of its TOML.
        frame: (H,W,3) uint8 BGR.
        people: boxes in it, at least one.
        limits: when a series ends.

    Raises:
        DeclaredError: unknown or faulty recipe.
        MissingExtraError: OpenCV is not installed.
    """
    recipe = load_recipe(recipe_name)
    boxes = people_boxes(people, *frame.shape[:2])
    affines = crop_affines(boxes, recipe.crop)
    crops = np.empty((people, recipe.crop.height, recipe.crop.width, 3), np.uint8)
    pairs: list[tuple[float, float]] = []
    with PoseEstimator.over(ConstantSession(recipe, people)) as estimator:
        conditions = conditions_of(estimator, artefact="", sha256="", frame=frame, people=people)

        def pair() -> None:
            started = perf_counter()
            estimator(frame, boxes)
            found = perf_counter()
            warp_crops(frame, affines, crops)
            pairs.append((found - started, perf_counter() - found))

        count = len(series(pair, limits))
    whole, warp = (tuple(second * 1e3 for second in column) for column in zip(*pairs[-count:], strict=True))
    return HostCost(Measured("host", whole, conditions), warp)
