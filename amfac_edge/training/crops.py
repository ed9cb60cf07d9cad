"""Annotated people as training crops, each a function of (seed, epoch, person) alone.

Letters: N people, K joints, H x W the crop. Order, number of workers and interruptions change nothing of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import (
    SimccCode,
    checked_frame,
    crop_affines,
    inverse_affines,
    load_opencv,
    skeleton,
    transform_points,
)
from amfac_edge.training.augmentation import Border, random_border, varied_affine, varied_light

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from amfac_edge.datasets import OnFault, PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.declared.training_fields import AugmentationRule
    from amfac_edge.keypoints import Bgr

__all__ = ["Crop", "CropSet"]


@dataclass(frozen=True)
class Crop:
    """One training crop.

    Attributes:
        pixels: (H, W, 3) uint8 BGR.
        points: (K, 2) float32 x, y in crop pixels.
        weights: (K,) float32, 1 where the joint is labelled and inside the crop, else 0.
        index: of the person.
        faults: sentences on people that could not be read and whose place this one takes.
    """

    pixels: NDArray[np.uint8]
    points: NDArray[np.float32]
    weights: NDArray[np.float32]
    index: int
    faults: tuple[str, ...] = ()


class CropSet(Dataset[Crop]):
    """The labelled people of a set; its items are asked for by (epoch, index).

    Args:
        people: of the recipe's skeleton, with pictures.
        recipe: crop, skeleton and bins.
        augmentation: None for crops as the runtime cuts them.
        seed: of all that is random.
        on_fault: "refuse" raises for a picture that can't be read; "skip" takes the next person instead and says so.

    Raises:
        InputError: another skeleton, or nobody with a labelled joint.
    """

    def __init__(
        self,
        people: PeopleSet,
        recipe: Recipe,
        augmentation: AugmentationRule | None,
        *,
        seed: int = 0,
        on_fault: OnFault = "refuse",
    ) -> None:
        if people.skeleton.name != recipe.skeleton:
            raise InputError(
                f"{people.name} has the joints of {people.skeleton.name}, "
                f"{recipe.name} learns those of {recipe.skeleton}",
                cure="Take a recipe of that skeleton, or map by name: --map-joints (map_joints = true).",
            )
        if not people.labelled.any():
            raise InputError(
                f"{people.name}: none of its {len(people):,} people has a labelled joint to learn from",
                cure="Check that the annotations are those of keypoints.",
            )
        self.people = people.chosen(people.labelled)
        self._recipe = recipe
        self._rule = augmentation
        self._seed = seed
        self._on_fault = on_fault
        self._code = SimccCode.of(recipe)
        self._flip_order = list(skeleton(recipe.skeleton).flip_order)

    def __len__(self) -> int:
        """N."""
        return len(self.people)

    def picture_names(self, indices: Iterable[int]) -> list[str]:
        """The files of these people's pictures, each once."""
        images = (int(self.people.image_ids[index]) for index in indices)
        return list(dict.fromkeys(self.people.images[image].file_name for image in images))

    def __getitem__(self, place: tuple[int, int]) -> Crop:
        """The crop of person `index` in epoch `epoch`, both from 0.

        Raises:
            FrameError: a picture can't be read, and none of all shall be left out or none can be read.
        """
        epoch, index = place
        faults: list[str] = []
        for step in range(len(self)):
            taken = (index + step) % len(self)
            try:
                picture = self.people.read_image(int(self.people.image_ids[taken]))
            except FrameError as error:
                if self._on_fault == "refuse":
                    raise
                faults.append(error.problem)
                continue
            return replace(self._cut(picture, epoch, taken), faults=tuple(faults))
        raise FrameError(f"{self.people.name}: none of its pictures can be read", cure=f"The first one: {faults[0]}")

    def _cut(self, picture: Bgr, epoch: int, index: int) -> Crop:
        rng = np.random.default_rng([self._seed, epoch, index])
        rule, crop = self._rule, self._recipe.crop
        if rule is None:
            affine, border = crop_affines(self.people.boxes[index, None], crop)[0], Border()
        else:
            affine = varied_affine(self.people.boxes[index], crop, rule, rng)
            border = random_border(rng) if rule.border == "random" else Border()
        pixels = _warped(picture, affine, crop.height, crop.width, border)
        joints = self.people.keypoints[index]
        points = transform_points(joints[None, :, :2], inverse_affines(affine[None]))[0]
        labelled = joints[:, 2] > 0
        if rule is not None:
            if rng.random() < rule.flip:
                pixels = np.ascontiguousarray(pixels[:, ::-1])
                # A mirrored left wrist is a right one. Integers are pixel centres, hence W - 1.
                points, labelled = points[self._flip_order], labelled[self._flip_order]
                points[:, 0] = crop.width - 1 - points[:, 0]
            pixels = varied_light(pixels, rule, rng)
        weights = labelled & self._code.inside(points)
        return Crop(pixels, points.astype(np.float32), weights.astype(np.float32), index)


def _warped(picture: Bgr, affine: NDArray[np.float64], height: int, width: int, border: Border) -> Bgr:
    cv2: Any = load_opencv("cutting crops")
    modes = {
        "black": cv2.BORDER_CONSTANT,
        "colour": cv2.BORDER_CONSTANT,
        "edge": cv2.BORDER_REPLICATE,
        "mirror": cv2.BORDER_REFLECT_101,
    }
    pixels: Bgr = cv2.warpAffine(
        checked_frame(picture),
        affine,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=modes[border.kind],
        borderValue=border.colour if border.kind == "colour" else (0, 0, 0),
    )
    return pixels
