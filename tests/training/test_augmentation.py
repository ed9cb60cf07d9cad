"""What varies of a crop's pixels: colour as one table, hidden parts, low light, and what lies outside the picture."""

from __future__ import annotations

from collections import Counter

import numpy as np

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.declared.training_fields import AugmentationRule
from amfac_edge.keypoints import crop_affines
from amfac_edge.training.augmentation import changed_colour, occluded, random_border, varied_affine, varied_light

GREYS = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
CROP = load_recipe("amfacpose-r18-128x128").crop


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_colour_is_a_line_for_each_channel() -> None:
    generator = rng(3)
    gains = generator.uniform(0.6, 1.4) * generator.uniform(0.85, 1.15, size=3)
    shift = generator.uniform(-50, 50)
    expected = np.clip((np.arange(256.0)[:, None] - 127.5) * gains + 127.5 + shift, 0, 255)
    assert np.abs(changed_colour(GREYS, rng(3))[0] - expected).max() <= 0.5


def test_a_hidden_part_is_one_rectangle_and_the_rest_is_as_it_was() -> None:
    crop = rng(1).integers(0, 256, size=(100, 80, 3), dtype=np.uint8)
    before = crop.copy()
    for seed in range(30):
        changed = (occluded(crop, rng(seed)) != crop).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        # Noise meets the same colour by chance in 1 of 2^24 pixels; a border row of it is no concern.
        assert 10 <= height <= 40
        assert 8 <= width <= 32
        assert changed.sum() > 0.99 * height * width
    assert np.array_equal(crop, before)


def test_low_light_is_darker_by_stops() -> None:
    bright = np.full((64, 64, 3), 200, np.uint8)
    for seed in range(10):
        dark = varied_light(bright, AugmentationRule(low_light=1.0), rng(seed))
        light = ((dark / 255.0) ** 2.2).mean() / (200 / 255) ** 2.2
        assert 2**-4.2 < light < 2**-0.9


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    assert varied_light(GREYS, AugmentationRule(), rng()) is GREYS


def test_borders_are_black_half_of_the_time() -> None:
    generator = rng()
    kinds = Counter(random_border(generator).kind for _ in range(1200))
    assert kinds.keys() == {"black", "colour", "edge", "mirror"}
    # 600 expected, with a standard deviation of 17.
    assert 500 < kinds["black"] < 700


def test_the_middle_of_the_box_stays_in_the_middle() -> None:
    box = np.array([20.0, 30.0, 90.0, 70.0])
    affine = varied_affine(box, CROP, AugmentationRule(), rng(2))
    assert np.allclose(affine @ [63.5, 63.5, 1], [55, 50])
    still = varied_affine(box, CROP, AugmentationRule(rotation=0, scale=(1, 1)), rng(2))
    assert np.allclose(still, crop_affines(box[None], CROP)[0])
