"""What a network's gates change in what it attends to, person by person: AMFACPose's Figures 9 and 10.

Letters: M people, H x W the crop, h x w the map. The maps are given as functions, so that no network is loaded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.accuracy.choosing import shown_people
from amfac_edge.accuracy.predicting import network_images
from amfac_edge.drawing import colour_bar, difference_picture, heat_picture, picture_table, with_caption
from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import crop_affines, inverse_affines, load_opencv, transform_points, warp_crops

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.keypoints import Bgr

    Activations = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["Attention", "attention_of", "attention_sheet"]

_HEADINGS = ("crop", "with DGCB", "without DGCB", "with - without", "zoom: crop", "with DGCB", "without DGCB")
_CELL = 240
_ZOOM = 0.4
_PERCENTILES = (1.0, 99.0)
_WINDOW = (80, 220, 255)


@dataclass(frozen=True, eq=False)
class Attention:
    """Maps of M people.

    Attributes:
        people: (M,) indices into the set.
        views: (M, V, U, 3) uint8 BGR, what the crops show, in the size of the largest enlargement.
        boxes: (M, 4) xyxy, the people's boxes as parts of the crop's width and height, 0..1.
        gated: (M, h, w) float32, the map with the network's own gates.
        ungated: (M, h, w), with replaced ones.
    """

    people: NDArray[np.intp]
    views: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    gated: NDArray[np.float32]
    ungated: NDArray[np.float32]

    @property
    def difference(self) -> NDArray[np.float32]:
        """(M, h, w): with less without."""
        return self.gated - self.ungated


def attention_of(
    people: PeopleSet, recipe: Recipe, gated: Activations, ungated: Activations, *, count: int = 6, seed: int = 0
) -> Attention:
    """The maps of the people of `shown_people`, in their annotated boxes.

    Args:
        people: with their pictures.
        recipe: of the network: its crop and normalisation.
        gated: (M, 3, H, W) float32 normalised RGB -> (M, h, w), the network's own gates.
        ungated: the same with replaced gates.
        count: people at most, from 1 on.
        seed: of the choice.

    Raises:
        FrameError: a picture can't be read, or nobody is annotated.
        InputError: maps with numbers that are not finite.
    """
    chosen = shown_people(people, count, seed)
    if not len(chosen):
        raise FrameError(f"{people.name}: has no labelled people", cure="Give data with annotated people.")
    height, width = recipe.crop.height, recipe.crop.width
    crops = np.empty((len(chosen), height, width, 3), np.uint8)
    scale = _CELL / _ZOOM / max(height, width)
    views = np.empty((len(chosen), round(height * scale), round(width * scale), 3), np.uint8)
    affines = crop_affines(people.boxes[chosen], recipe.crop)
    finer = affines @ _view_affine(views.shape[1] / height, views.shape[2] / width)
    for index, image in enumerate(people.image_ids[chosen].tolist()):
        picture = people.read_image(image)
        warp_crops(picture, affines[index : index + 1], crops[index : index + 1])
        warp_crops(picture, finer[index : index + 1], views[index : index + 1])
    corners = transform_points(people.boxes[chosen].reshape(-1, 2, 2), inverse_affines(affines))
    boxes = ((corners + 0.5) / (width, height)).reshape(-1, 4)
    maps = [activations(network_images(crops, recipe)) for activations in (gated, ungated)]
    if not np.isfinite(maps).all():
        raise InputError(
            f"{recipe.name} gave activations that are not finite", cure="Take an earlier checkpoint of the training."
        )
    return Attention(chosen, views, boxes, maps[0], maps[1])


def attention_sheet(people: PeopleSet, attention: Attention, caption: str) -> Bgr:
    """One row a person: the crop, both maps on one scale, their difference, and where that is largest, enlarged.

    Args:
        people: those that `attention` is of.
        attention: their maps.
        caption: what the maps are, and how the gates were replaced; ASCII.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    low, high = np.percentile([attention.gated, attention.ungated], _PERCENTILES)
    high = max(high, low + 1e-6)
    most = max(np.percentile(np.abs(attention.difference), _PERCENTILES[1]), 1e-6)
    rows, notes = [], []
    for index, person in enumerate(attention.people.tolist()):
        rows.append(_row(attention, index, (low, high), most))
        notes.append(_note(people, person, attention.gated[index], attention.ungated[index]))
    table = picture_table(rows, _HEADINGS, notes)
    width = table.shape[1] // 2 - 24
    bars = [
        colour_bar(width, low, high, "activation with and without, one scale for all (1st to 99th percentile)"),
        colour_bar(width, -most, most, "with - without: blue less, red more (99th percentile)", difference=True),
    ]
    legend = np.full((bars[0].shape[0], table.shape[1], 3), table[0, 0], np.uint8)
    for left, bar in zip((12, table.shape[1] // 2 + 12), bars, strict=True):
        legend[:, left : left + width] = bar
    return with_caption(np.concatenate([table, legend]), caption)


def _row(attention: Attention, index: int, scale: tuple[float, float], most: float) -> list[Bgr]:
    cv2 = load_opencv("drawing")
    view, difference = attention.views[index], attention.difference[index]
    gated, ungated = attention.gated[index], attention.ungated[index]
    height, width = (round(side * _ZOOM) for side in view.shape[:2])
    top, left = _strongest(np.abs(difference), view.shape[:2], (height, width), attention.boxes[index])
    whole = [view, heat_picture(view, gated, *scale), heat_picture(view, ungated, *scale)]
    enlarged = [picture[top : top + height, left : left + width] for picture in whole]
    row = []
    for picture in (*whole, difference_picture(view, difference, most)):
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        corner = (round(left * _ZOOM), round(top * _ZOOM))
        far = (corner[0] + round(width * _ZOOM) - 1, corner[1] + round(height * _ZOOM) - 1)
        cv2.rectangle(small, corner, far, _WINDOW, 1)
        row.append(small)
    return [*row, *enlarged]


def _view_affine(tall: float, wide: float) -> NDArray[np.float64]:
    """(3, 3): pixels of a view, `tall` and `wide` times as many as the crop's, to the crop's."""
    return np.array([[1 / wide, 0, 0.5 / wide - 0.5], [0, 1 / tall, 0.5 / tall - 0.5], [0, 0, 1]])


def _strongest(
    values: NDArray[np.floating], size: tuple[int, int], window: tuple[int, int], box: NDArray[np.float64]
) -> tuple[int, int]:
    """Top and left of the window over which the map's sum is largest; only what lies in the box counts."""
    cv2 = load_opencv("drawing")
    height, width = size
    fine = cv2.resize(values.astype(np.float64), (width, height), interpolation=cv2.INTER_LINEAR)
    x1, y1, x2, y2 = np.rint(np.clip(box, 0, 1) * (width, height, width, height)).astype(int)
    inside = np.zeros_like(fine)
    inside[y1:y2, x1:x2] = fine[y1:y2, x1:x2]
    total = np.pad(inside.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tall, wide = window
    sums = total[tall:, wide:] - total[:-tall, wide:] - total[tall:, :-wide] + total[:-tall, :-wide]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)


def _note(people: PeopleSet, person: int, gated: NDArray[np.float32], ungated: NDArray[np.float32]) -> str:
    visible = int((people.keypoints[person, :, 2] > 1).sum())
    change = gated - ungated
    return (
        f"image {people.image_ids[person]}, {visible} of {len(people.skeleton.joints)} joints visible; with "
        f"{gated.min():.3g} to {gated.max():.3g} (mean {gated.mean():.3g}), without {ungated.min():.3g} to "
        f"{ungated.max():.3g} (mean {ungated.mean():.3g}), difference {change.min():+.2g} to {change.max():+.2g}"
    )
