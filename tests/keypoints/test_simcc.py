from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.errors import DeclaredError
from amfac_edge.keypoints import SimccCode, skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from amfac_edge.keypoints import TargetKind

CODE = SimccCode(width=24, height=32, split_ratio=2.0)
CONVENTIONS = [True, False]
EPSILON = float(np.finfo(np.float32).eps)

codes = st.builds(
    SimccCode,
    width=st.sampled_from([16, 24, 48]),
    height=st.sampled_from([16, 32, 64]),
    split_ratio=st.sampled_from([1.0, 1.5, 2.0, 3.0, 8.0]),
    bin_centres=st.booleans(),
)
fractions = st.floats(0, 1)


def logits(seed: int, people: int, joints: int, code: SimccCode = CODE) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(people, joints, bins)).astype(np.float32) * 3 for bins in code.bins)
    return x, y


def point_within(code: SimccCode, u: float, v: float) -> NDArray[Any]:
    """A point at the fractions (u, v) of the area that has bins."""
    low = -0.5 if code.bin_centres else -0.5 / code.split_ratio
    return np.array([[[low + u * code.width, low + v * code.height]]])


@given(codes, fractions, fractions, st.sampled_from(["one-hot", "smoothed", "gaussian"]), st.floats(0.2, 8))
def test_encoding_and_decoding_is_off_by_half_a_bin_at_most(
    code: SimccCode, u: float, v: float, kind: TargetKind, sigma: float
) -> None:
    point = point_within(code, u, v)
    if not code.inside(point).all():
        return  # the fraction 1 rounded to just outside
    x, y = code.encode(point, kind=kind, sigma_bins=sigma, smoothing=0.2)
    decoded, _ = code.decode(np.log(x + 1e-30), np.log(y + 1e-30))
    # Two bins whose Gaussians differ by less than float32 resolves tie, which moves the border by sigma^2 epsilon bins.
    tie = 4 * EPSILON * max(1.0, sigma**2)
    rounding = 2 * EPSILON * max(code.width, code.height)
    assert np.abs(decoded - point).max() <= (0.5 + tie) / code.split_ratio + rounding


@pytest.mark.parametrize("bin_centres", CONVENTIONS)
def test_every_bin_decodes_to_itself(bin_centres: bool) -> None:  # noqa: FBT001 - a pytest parameter
    code = SimccCode(width=24, height=32, split_ratio=2.0, bin_centres=bin_centres)
    bins = np.arange(48)
    places = (bins + 0.5) / 2 - 0.5 if bin_centres else bins / 2
    points = np.stack([places, places], axis=-1)[None]
    x, y = code.encode(points, kind="one-hot")
    assert x[0].argmax(-1).tolist() == y[0].argmax(-1).tolist() == bins.tolist()
    decoded, scores = code.decode(x * 100, y * 100)
    np.testing.assert_array_equal(decoded, points.astype(np.float32))
    np.testing.assert_allclose(scores, 1)


@given(codes, fractions, fractions, st.sampled_from(["one-hot", "smoothed", "gaussian"]), st.floats(0.01, 20))
def test_targets_are_distributions(code: SimccCode, u: float, v: float, kind: TargetKind, sigma: float) -> None:
    point = point_within(code, u, v)
    for rows, count in zip(code.encode(point, kind=kind, sigma_bins=sigma), code.bins, strict=True):
        assert rows.shape == (1, 1, count)
        assert rows.dtype == np.float32
        assert (rows >= 0).all()
        np.testing.assert_allclose(rows.sum(-1), code.inside(point), atol=count * EPSILON)


def test_a_gaussian_sits_on_the_point_itself_not_on_its_bin() -> None:
    x, _ = CODE.encode(np.array([[[10.1, 10.0]]]), sigma_bins=1.5)
    bins = np.arange(48)
    expected = np.exp(-((bins - (10.6 * 2 - 0.5)) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(x[0, 0], expected / expected.sum(), atol=1e-7)


def test_smoothing_spreads_its_part_evenly() -> None:
    x, y = CODE.encode(np.array([[[10.25, 10.25]]]), kind="smoothed", smoothing=0.2)
    for rows, count in ((x[0, 0], 48), (y[0, 0], 64)):
        assert rows[21] == pytest.approx(0.8 + 0.2 / count)
        assert np.delete(rows, 21) == pytest.approx(0.2 / count)


@pytest.mark.parametrize("kind", ["one-hot", "smoothed", "gaussian"])
def test_points_outside_have_rows_of_zeros_on_both_axes(kind: TargetKind) -> None:
    points = np.array([[[-0.6, 5.0], [5.0, 31.6], [np.nan, 5.0], [1e9, 5.0], [-0.5, -0.5], [23.5, 31.5]]])
    assert CODE.inside(points).tolist() == [[False, False, False, False, True, True]]
    for rows in CODE.encode(points, kind=kind):
        np.testing.assert_allclose(rows.sum(-1), [[0, 0, 0, 0, 1, 1]], atol=1e-6)


def test_the_score_is_the_smaller_peak_of_the_two_softmaxes() -> None:
    x, y = logits(1, 3, 17)
    for temperature in (1.0, 0.5, 20.0):
        _, scores = CODE.decode(x, y, temperature)
        peaks = []
        for axis in (x, y):
            powers = np.exp(axis.astype(np.float64) / temperature)
            peaks.append((powers / powers.sum(-1, keepdims=True)).max(-1))
        np.testing.assert_allclose(scores, np.minimum(*peaks), rtol=1e-5)
        assert scores.dtype == np.float32


def test_huge_logits_do_not_overflow() -> None:
    x, y = (axis * np.float32(1e30) for axis in logits(2, 1, 5))
    _, scores = CODE.decode(x, y)
    np.testing.assert_array_equal(scores, 1)


def test_the_first_of_equal_bins_wins() -> None:
    keypoints, scores = CODE.decode(np.zeros((1, 2, 48), np.float32), np.zeros((1, 2, 64), np.float32))
    np.testing.assert_array_equal(keypoints, np.full((1, 2, 2), -0.25))
    np.testing.assert_allclose(scores, 1 / 64)


def test_nobody_decodes_to_nothing() -> None:
    keypoints, scores = CODE.decode(*logits(0, 0, 17))
    assert keypoints.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


def test_flipping_twice_is_the_identity() -> None:
    x, y = logits(3, 2, 17)
    order = skeleton("coco-17").flip_order
    for before, after in zip((x, y), CODE.flip(*CODE.flip(x, y, order), order), strict=True):
        np.testing.assert_array_equal(before, after)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.0, 3.0]))
def test_flipping_logits_is_flipping_the_points(seed: int, split_ratio: float) -> None:
    code = SimccCode(width=24, height=32, split_ratio=split_ratio)
    order = skeleton("crowdpose-14").flip_order
    x, y = logits(seed, 2, 14, code)
    points, scores = code.decode(x, y)
    flipped, flipped_scores = code.decode(*code.flip(x, y, order))
    mirrored = points[:, list(order)] * (-1, 1) + (code.width - 1, 0)
    np.testing.assert_allclose(flipped, mirrored, atol=EPSILON * code.width)
    np.testing.assert_allclose(flipped_scores, scores[:, list(order)], rtol=1e-5)


def test_flipping_foreign_logits_mirrors_a_fraction_of_a_pixel_beside_the_picture() -> None:
    code = SimccCode(width=24, height=32, split_ratio=2.0, bin_centres=False)
    x, y = code.encode(np.array([[[7.0, 9.0]]]), kind="one-hot")
    (flipped,), _ = code.decode(*code.flip(x, y, [0]))
    assert flipped.tolist() == [[24 - 1 / 2 - 7.0, 9.0]]


def test_the_code_of_a_recipe_has_its_bins() -> None:
    recipe = load_recipe(recipe_names()[0])
    assert SimccCode.of(recipe).bins == recipe.bins


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "gausian"}, r'unknown kind of SimCC target "gausian"\n.*did you mean gaussian'),
        ({"sigma_bins": 0.0}, r"sigma 0 bins and smoothing 0\.1\n.*above 0"),
        ({"sigma_bins": float("nan")}, r"sigma nan bins"),
        ({"kind": "smoothed", "smoothing": 1.5}, r"smoothing 1\.5\n.*within 0 and 1"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclaredError, match=message):
        CODE.encode(np.zeros((1, 1, 2)), **options)


def test_logits_of_another_crop_are_refused() -> None:
    x, y = logits(0, 1, 17)
    with pytest.raises(ValueError, match=r"logits of 64 and 48 bins for a code of \(48, 64\)"):
        CODE.decode(y, x)
