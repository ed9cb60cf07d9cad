"""From a calibration set to people: those whose crops give the ranges, and others, on other pictures, who judge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.datasets import generated_people, load_people, read_data_source
from amfac_edge.errors import InputError
from amfac_edge.keypoints import crop_affines, skeleton, warp_crops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.declared.recipe import Recipe

__all__ = ["Calibration", "calibration_people", "crops_of", "digest_of"]

_SMALLEST_BOX = 32.0
_SMALLEST_DRAWING = 160
# Below this spread of its values a crop shows nothing: a black picture, a lens cap.
_FLAT = 2.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """The people of a set.

    Attributes:
        name: of the set.
        people: whose crops give the ranges.
        held_out: who judge the result.
        left_out: how many could not be used: boxes below 32 pixels, no labelled joints.
    """

    name: str
    people: PeopleSet
    held_out: PeopleSet
    left_out: int


def calibration_people(declared: CalibrationSet, recipe: Recipe) -> Calibration:
    """Choose the people of a set; the same set, files and seed give the same people.

    Args:
        declared: the set.
        recipe: whose joints they must have; joints are found by name.

    Raises:
        InputError: fewer usable people than the set asks for.
        AmfacError: a file of the set is missing or faulty.
    """
    wanted = declared.count + declared.held_out
    if declared.generated:
        size = max(recipe.crop.height, recipe.crop.width, _SMALLEST_DRAWING)
        # Some are drawn too small to be of use.
        everybody = generated_people(2 * wanted, declared.seed, skeleton=recipe.skeleton, height=size, width=size)
    else:
        source = read_data_source(declared.table)
        everybody = load_people(
            source.annotations,
            images=source.images,
            skeleton=skeleton(recipe.skeleton),
            map_joints=True,
            on_fault="skip",
        )
    sides = (everybody.boxes[:, 2:] - everybody.boxes[:, :2]).min(axis=1)
    usable = everybody.chosen(everybody.labelled & (sides >= _SMALLEST_BOX))
    order = np.random.default_rng(declared.seed).permutation(len(usable))
    # One person a picture: people on one picture are no independent judges.
    _, first = np.unique(usable.image_ids[order], return_index=True)
    chosen = order[np.sort(first)]
    if len(chosen) < wanted:
        raise InputError(
            f"calibration set {declared.name}: {len(chosen)} usable people on pictures of their own, "
            f"{declared.count} + {declared.held_out} are asked for",
            cure=f"Lower count or held_out in {declared.table}, or give it more pictures.",
        )
    return Calibration(
        declared.name,
        usable.chosen(chosen[: declared.count]),
        usable.chosen(chosen[declared.count : wanted]),
        len(everybody) - len(usable),
    )


def crops_of(people: PeopleSet, recipe: Recipe) -> Iterator[NDArray[np.uint8]]:
    """The crop of each person, (H,W,3) uint8 BGR, cut as the runtime cuts them.

    Raises:
        FrameError: a picture is missing or damaged.
        InputError: a crop shows nothing.
    """
    for index in range(len(people)):
        crop = np.empty((1, recipe.crop.height, recipe.crop.width, 3), np.uint8)
        picture = people.read_image(int(people.image_ids[index]))
        warp_crops(picture, crop_affines(people.boxes[index : index + 1], recipe.crop), crop)
        if float(crop.std()) < _FLAT:
            name = people.images[int(people.image_ids[index])].file_name
            raise InputError(
                f"{name}: the crop of annotation {people.annotation_ids[index]} shows nothing (all values alike)",
                cure="Take it out of the calibration set.",
            )
        yield crop[0]


def digest_of(crops: NDArray[np.uint8]) -> str:
    """SHA-256 in hex of crops (N,H,W,3), in their order."""
    return hashlib.sha256(np.ascontiguousarray(crops).tobytes()).hexdigest()
