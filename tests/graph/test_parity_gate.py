"""The gate fails for each budget alone, names what is worst, and holds no tie to equality."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import GateError
from amfac_edge.graph.parity import LOGIT_BUDGET, budget_for, check_parity, compare, generated_crops, normalised
from amfac_edge.keypoints import SimccCode

RECIPE: Recipe = dataclasses.replace(load_recipe("amfacpose-r18-128x128"), temperature=1.0)
Logits = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def reference() -> Logits:
    random = np.random.default_rng(4)
    x, y = (random.normal(0, 1, (3, 17, bins)).astype(np.float32) for bins in RECIPE.bins)
    for logits in (x, y):
        best = random.integers(0, logits.shape[-1], logits.shape[:2])
        np.put_along_axis(logits, best[..., None], 9.0, axis=-1)
    return x, y


def decoded(logits: Logits) -> tuple[np.ndarray, np.ndarray]:
    return SimccCode.of(RECIPE).decode(*logits, RECIPE.temperature)


def test_the_same_holds(reference: Logits) -> None:
    parity = compare(RECIPE, reference, reference, decoded(reference))
    assert parity.holds
    assert (parity.logit_error, parity.moved, parity.joints, parity.ties) == (0, (), 51, 0)
    check_parity(parity, RECIPE, name="same")


def test_logits_over_their_budget(reference: Logits) -> None:
    x = reference[0].copy()
    x[0, 0, 0] += 1.01 * LOGIT_BUDGET * np.ptp(x)
    parity = compare(RECIPE, reference, (x, reference[1]), decoded(reference))
    with pytest.raises(GateError, match=r"logits by 1\.0e-04 of their spread"):
        check_parity(parity, RECIPE, name="off")


def test_a_joint_in_another_bin_is_named(reference: Logits) -> None:
    keypoints, scores = decoded(reference)
    keypoints = keypoints.copy()
    keypoints[1, 10, 0] += 1 / RECIPE.split_ratio
    keypoints[2, 16, 1] -= 40
    parity = compare(RECIPE, reference, reference, (keypoints, scores))
    assert parity.moved[0][:2] == (2, 16)
    with pytest.raises(
        GateError, match=r"2 of 51 joints moved: right_ankle of crop 2 by 40\.00 px, right_wrist of crop 1"
    ):
        check_parity(parity, RECIPE, name="off")


def test_scores_over_their_budget(reference: Logits) -> None:
    keypoints, scores = decoded(reference)
    parity = compare(RECIPE, reference, reference, (keypoints, scores + np.float32(0.01)))
    assert not parity.holds
    with pytest.raises(GateError, match=r"scores by 1\.0e-02"):
        check_parity(parity, RECIPE, name="off")


@pytest.mark.parametrize("place", ["raw", "keypoints", "scores"])
def test_nan_fails(reference: Logits, place: str) -> None:
    keypoints, scores = (values.copy() for values in decoded(reference))
    raw = (reference[0].copy(), reference[1])
    {"raw": raw[0], "keypoints": keypoints, "scores": scores}[place][0, 0] = np.nan
    assert not compare(RECIPE, reference, raw, (keypoints, scores)).holds


def test_a_tie_may_fall_either_way(reference: Logits) -> None:
    x = reference[0].copy()
    x[0, 3] = 0
    x[0, 3, [20, 90]] = 9.0
    x[0, 3, 90] -= LOGIT_BUDGET * np.ptp(x)
    keypoints, scores = decoded((x, reference[1]))
    keypoints = keypoints.copy()
    # The other of the two bins: 70 bins further, in pixels.
    keypoints[0, 3, 0] += 70 / RECIPE.split_ratio
    parity = compare(RECIPE, (x, reference[1]), (x, reference[1]), (keypoints, scores))
    assert parity.ties == 1
    assert parity.holds
    assert parity.shift_px[2] == 35.0


def test_crops_are_the_same_for_a_seed_and_of_all_kinds() -> None:
    crops = generated_crops(RECIPE, 8, seed=3)
    assert crops.shape == (8, 128, 128, 3)
    assert crops.dtype == np.uint8
    np.testing.assert_array_equal(crops, generated_crops(RECIPE, 8, seed=3))
    assert (crops != generated_crops(RECIPE, 8, seed=4)).any()
    steps = [np.abs(np.diff(crop.astype(int), axis=1)).mean() for crop in crops[:4]]
    assert steps[0] > steps[1] > steps[2] > steps[3] == 0


def test_normalisation_is_rgb() -> None:
    crop = np.zeros((1, 128, 128, 3), np.uint8)
    crop[..., 2] = 255  # red, in BGR
    image = normalised(crop, RECIPE)
    assert image.shape == (1, 3, 128, 128)
    expected = (np.array([1, 0, 0]) - RECIPE.mean) / RECIPE.std
    np.testing.assert_allclose(image[0, :, 0, 0], expected, rtol=1e-6)


def test_float16_may_move_one_joint_in_a_hundred(reference: Logits) -> None:
    budget = budget_for("fp16", RECIPE)
    x, y = (np.concatenate([logits] * 4) for logits in reference)
    keypoints, scores = (values.copy() for values in decoded((x, y)))
    close, far = x.copy(), x.copy()
    close[0, 0, 0] += 0.99 * budget.logits * np.ptp(x)
    far[0, 0, 0] += 1.01 * budget.logits * np.ptp(x)
    assert compare(RECIPE, (x, y), (close, y), (keypoints, scores), None, budget).holds
    assert not compare(RECIPE, (x, y), (far, y), (keypoints, scores), None, budget).holds
    # 12 crops of 17 joints: two may move by more than a pixel, three may not; a pixel is no move.
    keypoints[:, 3, 0] += 1.0
    keypoints[0:2, 0, 0] += 1.5
    assert compare(RECIPE, (x, y), (x, y), (keypoints, scores), None, budget).holds
    keypoints[2, 0, 0] += 1.5
    parity = compare(RECIPE, (x, y), (x, y), (keypoints, scores), None, budget)
    assert len(parity.moved) == 3
    assert not parity.holds
    # Scores may differ by what a tie of the logits makes of them, though these logits are the same.
    spread = max(float(np.ptp(logits)) for logits in (x, y))
    assert parity.score_budget == pytest.approx(budget.tie * spread / 2 + 1e-6)


def test_untrained_weights_are_held_to_less() -> None:
    trained, untrained = (budget_for("fp16", RECIPE, trained=each) for each in (None, False))
    assert (trained, untrained.logits, untrained.tie) == (budget_for("fp16", RECIPE, trained=True), 2.5e-2, 2.5e-2)
    # The terms of FP32: what is a tie there is one here.
    assert trained.tie == budget_for("fp32", RECIPE).tie == LOGIT_BUDGET
