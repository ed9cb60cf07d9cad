"""Training crops: the runtime's own where nothing varies, right joints where all does, the same whoever cuts them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.datasets import PeopleSet, generated_people
from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.declared.training_fields import AugmentationRule
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import crop_affines, inverse_affines, skeleton, transform_points, warp_crops
from amfac_edge.training.crops import Crop, CropSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECIPE = load_recipe("amfacpose-r18-128x128")
STILL = AugmentationRule(flip=0, rotation=0, scale=(1.0, 1.0), border="black")


def crop_set(rule: AugmentationRule | None, count: int = 6, **options: Any) -> CropSet:  # noqa: ANN401
    return CropSet(generated_people(count, 0), RECIPE, rule, **options)


def same(one: Crop, other: Crop) -> bool:
    pairs = ((one.pixels, other.pixels), (one.points, other.points), (one.weights, other.weights))
    return all(np.array_equal(a, b) for a, b in pairs) and one.index == other.index


@pytest.mark.parametrize("rule", [None, STILL])
def test_without_variation_it_is_the_crop_of_the_runtime(rule: AugmentationRule | None) -> None:
    crops = crop_set(rule)
    people = crops.people
    affines = crop_affines(people.boxes, RECIPE.crop)
    for index in range(len(crops)):
        expected = np.empty((1, 128, 128, 3), np.uint8)
        warp_crops(people.read_image(int(people.image_ids[index])), affines[index, None], expected)
        crop = crops[0, index]
        assert np.array_equal(crop.pixels, expected[0])
        back = transform_points(crop.points[None].astype(np.float64), affines[index, None])[0]
        # float32 of coordinates up to 128: 128 * 6e-8 crop pixels, some picture pixels each.
        assert np.abs(back - people.keypoints[index, :, :2]).max() < 1e-4
        assert crop.weights.all()


def test_a_flip_is_the_mirrored_crop_with_sides_exchanged() -> None:
    still, flipped = crop_set(STILL)[0, 3], crop_set(dataclasses.replace(STILL, flip=1.0))[0, 3]
    assert np.array_equal(flipped.pixels, still.pixels[:, ::-1])
    order = list(skeleton("coco-17").flip_order)
    # float32 of coordinates up to 128.
    assert np.abs(flipped.points[:, 0] - (127 - still.points[order, 0])).max() < 2e-5
    assert np.array_equal(flipped.points[:, 1], still.points[order, 1])
    left, right = (skeleton("coco-17").joints.index(f"{side}_wrist") for side in ("left", "right"))
    assert flipped.points[left, 0] == pytest.approx(127 - still.points[right, 0], abs=2e-5)


class Marked:
    """A store of one dark picture with a bright dot of some pixels at each joint of its one person."""

    def __init__(self, joints: NDArray[np.float64]) -> None:
        self._picture = np.zeros((160, 160, 3), np.uint8)
        for x, y in np.rint(joints).astype(int):
            self._picture[y - 2 : y + 3, x - 2 : x + 3] = 255

    def __contains__(self, name: str) -> bool:
        return True

    def read(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        assert (name, height, width) == ("000001", 160, 160)
        return self._picture


def test_joints_stay_on_the_body_under_every_geometry() -> None:
    """Each joint with a weight lies on its bright dot, wherever rotation, scale and flip have put it."""
    people = generated_people(1, 0)
    people = dataclasses.replace(people, stores=(Marked(people.keypoints[0, :, :2]),))
    crops = CropSet(people, RECIPE, AugmentationRule(border="black"))
    for epoch in range(40):
        crop = crops[epoch, 0]
        seen = crop.points[crop.weights > 0]
        assert len(seen)
        columns, rows = np.clip(np.rint(seen), 0, 127).astype(int).T
        # The dot reaches 2 pixels around the rounded joint; a crop is never enlarged beyond 1.3 / 0.7 here.
        assert crop.pixels[rows, columns].min() > 60


def test_a_joint_that_leaves_the_crop_weighs_nothing() -> None:
    near = dataclasses.replace(STILL, scale=(0.3, 0.3))
    crop = crop_set(near)[0, 0]
    outside = ((crop.points < -0.5) | (crop.points > 127.5)).any(axis=1)
    assert outside.any()
    assert np.array_equal(crop.weights > 0, ~outside)


def test_an_unlabelled_joint_weighs_nothing_after_a_flip_too() -> None:
    people = generated_people(2, 0)
    keypoints = people.keypoints.copy()
    wrist, other = (skeleton("coco-17").joints.index(f"{side}_wrist") for side in ("left", "right"))
    keypoints[:, wrist] = 0
    people = dataclasses.replace(people, keypoints=keypoints)
    assert CropSet(people, RECIPE, STILL)[0, 0].weights[[wrist, other]].tolist() == [0, 1]
    assert CropSet(people, RECIPE, dataclasses.replace(STILL, flip=1.0))[0, 0].weights[[wrist, other]].tolist() == [
        1,
        0,
    ]


def test_a_crop_depends_on_seed_epoch_and_person_alone() -> None:
    wild = AugmentationRule(colour=1.0, occlusion=0.5, low_light=0.5)
    once, again = crop_set(wild, seed=5), crop_set(wild, seed=5)
    backwards = [again[2, index] for index in reversed(range(6))]
    assert all(same(once[2, index], backwards[5 - index]) for index in range(6))
    assert not same(once[2, 0], once[3, 0])
    assert not same(once[2, 0], crop_set(wild, seed=6)[2, 0])


def test_the_ranges_are_reached_and_kept() -> None:
    crops = CropSet(generated_people(1, 0), RECIPE, AugmentationRule(flip=0, border="black"))
    plain = crop_affines(crops.people.boxes, RECIPE.crop)
    angles, scales = [], []
    for epoch in range(300):
        # The points of the crop against those of the picture give angle and scale.
        moved = transform_points(crops.people.keypoints[:, :, :2], inverse_affines(plain))[0]
        points = crops[epoch, 0].points.astype(np.float64)
        one, other = moved[9] - moved[16], points[9] - points[16]
        turn = np.rad2deg(np.arctan2(other[1], other[0]) - np.arctan2(one[1], one[0]))
        angles.append((turn + 180) % 360 - 180)
        scales.append(np.linalg.norm(one) / np.linalg.norm(other))
    assert -30.01 < min(angles) < -27
    assert 27 < max(angles) < 30.01
    assert 0.699 < min(scales) < 0.73
    assert 1.27 < max(scales) < 1.301


class Broken:
    """A store whose first picture can't be read."""

    def __init__(self, honest: Any) -> None:  # noqa: ANN401
        self._honest = honest

    def __contains__(self, name: str) -> bool:
        return True

    def read(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        if name == "000001":
            raise FrameError("000001: is damaged", cure="Copy it again.")
        return np.asarray(self._honest.read(name, height, width))


def broken_people(count: int = 4) -> PeopleSet:
    people = generated_people(count, 0)
    return dataclasses.replace(people, stores=(Broken(people.stores[0]),))


def test_a_broken_picture_stops_or_is_passed_over_and_named() -> None:
    with pytest.raises(FrameError, match="000001: is damaged"):
        CropSet(broken_people(), RECIPE, STILL)[0, 0]
    crops = CropSet(broken_people(), RECIPE, STILL, on_fault="skip")
    crop = crops[0, 0]
    assert crop.index == 1
    assert crop.faults == ("000001: is damaged",)
    assert crops[0, 1].faults == ()
    with pytest.raises(FrameError, match="none of its pictures can be read"):
        CropSet(broken_people(1), RECIPE, STILL, on_fault="skip")[0, 0]


def test_people_who_can_teach_nothing_are_left_out() -> None:
    people = generated_people(4, 0)
    keypoints, crowd = people.keypoints.copy(), people.iscrowd.copy()
    keypoints[1, :, 2], crowd[2] = 0, True
    crops = CropSet(dataclasses.replace(people, keypoints=keypoints, iscrowd=crowd), RECIPE, STILL)
    assert len(crops) == 2
    assert crops.picture_names([0, 1, 1]) == ["000001", "000004"]


def test_another_skeleton_and_nobody_are_refused() -> None:
    recipe: Recipe = load_recipe("amfacpose-r18-128x128-crowdpose")
    with pytest.raises(InputError, match=r"coco-17, amfacpose-r18-128x128-crowdpose learns those of crowdpose-14"):
        CropSet(generated_people(2, 0), recipe, None)
    people = generated_people(2, 0)
    with pytest.raises(InputError, match="none of its 2 people has a labelled joint"):
        CropSet(dataclasses.replace(people, keypoints=people.keypoints * [1, 1, 0]), RECIPE, None)
