"""The attention sheet: whose crops it shows, that its maps are the functions', and where it enlarges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.accuracy.attention import Attention, attention_of, attention_sheet
from amfac_edge.accuracy.choosing import shown_people
from amfac_edge.datasets import generated_people
from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import FrameError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytest.importorskip("cv2")

RECIPE = load_recipe("amfacpose-r18-128x128")
WINDOW = (80, 220, 255)


def brightness(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of 16 x 16 pixels and all channels, of normalised pictures."""
    return images.reshape(len(images), 3, 8, 16, 8, 16).mean(axis=(1, 3, 5)).astype(np.float32)


def dimmer(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return (brightness(images) / 2).astype(np.float32)


def test_maps_are_those_of_the_crops_of_the_chosen_people() -> None:
    people = generated_people(9, 2, height=200, width=160)
    attention = attention_of(people, RECIPE, brightness, dimmer, count=4, seed=1)
    assert np.array_equal(attention.people, shown_people(people, 4, 1))
    assert attention.views.shape == (4, 600, 600, 3)
    np.testing.assert_array_equal(attention.ungated, attention.gated / 2)
    np.testing.assert_array_equal(attention.difference, attention.gated - attention.ungated)
    # A view shows what the crop shows: its blocks have the brightness of the map's places.
    views = attention.views[..., ::-1] / 255
    normalised = ((views - np.array(RECIPE.mean)) / np.array(RECIPE.std)).reshape(4, 8, 75, 8, 75, 3)
    np.testing.assert_allclose(normalised.mean(axis=(2, 4, 5)), attention.gated, atol=0.1)


def test_a_persons_box_lies_within_the_crop_as_the_padding_says() -> None:
    people = generated_people(3, 2)
    attention = attention_of(people, RECIPE, brightness, dimmer, count=3)
    extents = attention.boxes[:, 2:] - attention.boxes[:, :2]
    assert extents.max(axis=1) == pytest.approx(1 / RECIPE.crop.padding)
    assert (attention.boxes[:, :2] + attention.boxes[:, 2:]) / 2 == pytest.approx(0.5)


BOX = (0.1, 0.1, 0.9, 0.9)


def made(gated: NDArray[np.float32], ungated: NDArray[np.float32], box: tuple[float, ...] = BOX) -> Attention:
    count = len(gated)
    views = np.full((count, 600, 600, 3), 90, np.uint8)
    return Attention(np.arange(count), views, np.tile(box, (count, 1)), gated, ungated)


@pytest.mark.parametrize(
    ("changes", "box", "place"),
    [
        ({(2, 5): 0.5}, BOX, (2, 5)),
        ({(6, 1): 1.5, (2, 5): 0.8}, BOX, (6, 1)),
        ({(1, 1): 0.1, (6, 6): 0.9}, (0.5, 0.5, 1.0, 1.0), (6, 6)),
    ],
)
def test_the_window_is_where_the_difference_within_the_box_is_largest(
    changes: dict[tuple[int, int], float], box: tuple[float, ...], place: tuple[int, int]
) -> None:
    gated, ungated = np.ones((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32)
    for (row, column), value in changes.items():
        ungated[0, row, column] = value
    sheet = attention_sheet(generated_people(1, 2), made(gated, ungated, box), "words")
    window = (sheet[:, :250] == WINDOW).all(axis=-1)
    rows, columns = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
    # 96 pixels of window in a cell of 240, which begins at (36, 6); the place is 30 pixels large.
    assert (columns[-1] - columns[0], rows[-1] - rows[0]) == (95, 95)
    assert rows[0] - 36 <= place[0] * 30 + 15 <= rows[-1] - 36
    assert columns[0] - 6 <= place[1] * 30 + 15 <= columns[-1] - 6


def test_both_maps_have_one_scale_and_the_difference_its_colours() -> None:
    people = generated_people(2, 2)
    ungated = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 8, 8)
    gated = ungated[::-1].copy()
    sheet = attention_sheet(people, made(gated, ungated), "words")
    cells = {
        (row, column): sheet[36 + row * 282 + 20 : 36 + row * 282 + 220, 6 + column * 246 + 20 : 6 + column * 246 + 220]
        for row in range(2)
        for column in range(4)
    }
    # The first person's map with gates is the second's without: on one scale the pictures are the same but for windows.
    assert np.median(np.abs(cells[0, 1].astype(int) - cells[1, 2])) <= 1
    blue, red = cells[1, 3].mean(axis=(0, 1)), cells[0, 3].mean(axis=(0, 1))
    assert red[2] > red[0] + 60
    assert blue[0] > blue[2] + 60


def test_maps_without_any_difference_are_drawn_too() -> None:
    people = generated_people(1, 2)
    same = np.zeros((1, 8, 8), np.float32)
    assert attention_sheet(people, made(same, same), "words").ndim == 3


def test_what_can_not_be_shown_is_refused() -> None:
    people = generated_people(2, 2)
    nobody = people.chosen(np.zeros(2, np.bool_))
    with pytest.raises(FrameError, match="has no labelled people"):
        attention_of(nobody, RECIPE, brightness, dimmer)
    with pytest.raises(InputError, match="activations that are not finite"):
        attention_of(people, RECIPE, brightness, lambda images: brightness(images) * np.float32(np.nan))
