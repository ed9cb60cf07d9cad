"""From a calibration set to people: those whose crops give the ranges, and others, on other pictures, who judge."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.datasets import generated_people, load_people, read_data_source
from amfac_edge.declared.calibration_set import crop_form
from amfac_edge.errors import InputError, typed
from amfac_edge.keypoints import crop_affines, skeleton, warp_crops
from amfac_edge.quantization.unlabelled import SMALLEST_BOX, unlabelled_people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.declared.recipe import Recipe

__all__ = ["Calibration", "calibration_crops", "calibration_people", "check_digest", "crops_of", "digest_of"]

_SMALLEST_DRAWING = 160
# Below this spread of values a box shows nothing: a black picture, a lens cap.
_FLAT = 2.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """The people of a set.

    Attributes:
        declared: the set.
        people: whose crops give the ranges; boxes as the set's augmentation moved them.
        held_out: who judge the result.
        left_out: how many could not be used: boxes below 32 pixels, no labelled joints where there are annotations.
        brightness: (N,) float64 factor on each calibrating crop.
    """

    declared: CalibrationSet
    people: PeopleSet
    held_out: PeopleSet
    left_out: int
    brightness: NDArray[np.float64]

    @property
    def name(self) -> str:
        """Of the set."""
        return self.declared.name


def calibration_people(declared: CalibrationSet, recipe: Recipe) -> Calibration:
    """Choose the people of a set; the same set, files and seed give the same people.

    Args:
        declared: the set.
        recipe: whose joints they must have where they have any; joints are found by name.

    Raises:
        InputError: fewer usable people than the set asks for.
        AmfacError: a file of the set is missing or faulty.
    """
    wanted = declared.count + declared.held_out
    _check_files(declared)
    if declared.source.kind in {"images", "video"}:
        chosen, left_out = unlabelled_people(declared, wanted, skeleton(recipe.skeleton))
    else:
        chosen, left_out = _annotated_people(declared, wanted, recipe)
    if len(chosen) < wanted:
        raise InputError(
            f"calibration set {declared.name}: {len(chosen)} usable people on pictures of their own, "
            f"{declared.count} + {declared.held_out} are asked for",
            cure=f"Lower count or held_out in {declared.table}, or give it more pictures.",
        )
    random = np.random.default_rng([declared.seed, 1])
    people = chosen.chosen(np.arange(declared.count))
    return Calibration(
        declared,
        dataclasses.replace(people, boxes=_moved(people.boxes, declared, random)),
        chosen.chosen(np.arange(declared.count, wanted)),
        left_out,
        random.uniform(*declared.augmentation.brightness, size=declared.count),
    )


def calibration_crops(chosen: Calibration, recipe: Recipe) -> NDArray[np.uint8]:
    """The crops that give the ranges, (N,H,W,3) uint8 BGR.

    Raises:
        FrameError: a picture is missing or damaged.
        InputError: a box shows nothing, or they aren't those whose digest the set pins.
    """
    crops = np.stack(list(crops_of(chosen.people, recipe)))
    if chosen.declared.augmentation.brightness != (1.0, 1.0):
        for crop, factor in zip(crops, chosen.brightness, strict=True):
            crop[:] = np.clip(np.rint(crop * factor), 0, 255)
    check_digest(chosen, recipe, digest_of(crops))
    return crops


def check_digest(chosen: Calibration, recipe: Recipe, digest: str) -> None:
    """Hold the digest of a set's crops against the one that it pins for crops of the recipe's form, if it does.

    Raises:
        InputError: it is another one.
    """
    declared, form = chosen.declared, crop_form(recipe.crop)
    pinned = declared.digests.get(form, digest)
    if pinned != digest:
        faults = chosen.people.faults
        why = f"; of its data {len(faults)} entries can't be used, the first: {faults[0]}" if faults else ""
        raise InputError(
            f"calibration set {declared.name}: its {len(chosen.people)} crops of {form} have the digest\n    {digest}\n"
            f"  and {declared.table} pins\n    {pinned}{why}",
            cure="Pictures, annotations, seed, augmentation or OpenCV are not those that it was pinned with. Where "
            f"that is meant: amfac-calibrate --check {typed(declared.table)} --recipe {recipe.name} --pin",
        )


def crops_of(people: PeopleSet, recipe: Recipe) -> Iterator[NDArray[np.uint8]]:
    """The crop of each person, (H,W,3) uint8 BGR, cut as the runtime cuts them.

    Raises:
        FrameError: a picture is missing or damaged.
        InputError: a box shows nothing.
    """
    for index in range(len(people)):
        crop = np.empty((1, recipe.crop.height, recipe.crop.width, 3), np.uint8)
        picture = people.read_image(int(people.image_ids[index]))
        left, top, right, bottom = np.rint(people.boxes[index]).clip(0).astype(int)
        seen = picture[top : bottom + 1, left : right + 1]
        if not seen.size or float(seen.std()) < _FLAT:
            name = people.images[int(people.image_ids[index])].file_name
            raise InputError(
                f"{people.name}, {name}: the box of annotation {people.annotation_ids[index]} shows nothing (all "
                "values alike, or none)",
                cure="Take it out of the calibration set.",
            )
        warp_crops(picture, crop_affines(people.boxes[index : index + 1], recipe.crop), crop)
        yield crop[0]


def digest_of(crops: NDArray[np.uint8]) -> str:
    """SHA-256 in hex of crops (N,H,W,3), in their order."""
    return hashlib.sha256(np.ascontiguousarray(crops).tobytes()).hexdigest()


def _check_files(declared: CalibrationSet) -> None:
    _check_there(declared, declared.source.path)
    if declared.source.boxes is not None:
        _check_there(declared, declared.source.boxes)
    if declared.source.kind == "annotations":
        images = read_data_source(declared.table, folder=declared.folder).images
        if images is None:
            raise InputError(
                f"calibration set {declared.name}: {declared.table} names no pictures",
                cure="Give [source] an images: a folder or a tar.",
            )
        _check_there(declared, images)


def _check_there(declared: CalibrationSet, path: Path) -> None:
    if not path.exists():
        raise InputError(
            f"calibration set {declared.name}: {path} does not exist",
            cure=f"Give the folder that the paths in {declared.table} are relative to: --calib-data DIR.",
        )


def _annotated_people(declared: CalibrationSet, wanted: int, recipe: Recipe) -> tuple[PeopleSet, int]:
    if declared.source.kind == "generated":
        size = max(recipe.crop.height, recipe.crop.width, _SMALLEST_DRAWING)
        # Some are drawn too small to be of use.
        everybody = generated_people(2 * wanted, declared.seed, skeleton=recipe.skeleton, height=size, width=size)
    else:
        source = read_data_source(declared.table, folder=declared.folder)
        everybody = load_people(
            source.annotations,
            images=source.images,
            skeleton=skeleton(recipe.skeleton),
            map_joints=True,
            on_fault="skip",
        )
    sides = (everybody.boxes[:, 2:] - everybody.boxes[:, :2]).min(axis=1)
    usable = everybody.chosen(everybody.labelled & (sides >= SMALLEST_BOX))
    order = np.random.default_rng(declared.seed).permutation(len(usable))
    # One person a picture: people on one picture are no independent judges.
    _, first = np.unique(usable.image_ids[order], return_index=True)
    return usable.chosen(order[np.sort(first)][:wanted]), len(everybody) - len(usable)


def _moved(boxes: NDArray[np.float64], declared: CalibrationSet, random: np.random.Generator) -> NDArray[np.float64]:
    rule = declared.augmentation
    extents = boxes[:, 2:] - boxes[:, :2]
    shift = random.uniform(-rule.shift, rule.shift, size=extents.shape)
    scale = np.exp(random.uniform(math.log(rule.scale[0]), math.log(rule.scale[1]), size=(len(boxes), 1)))
    if rule.shift == 0 and rule.scale == (1.0, 1.0):
        return boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + shift * extents
    return np.concatenate([centres - extents * scale / 2, centres + extents * scale / 2], axis=1)
