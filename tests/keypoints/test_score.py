from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfac_edge.errors import DeclaredError
from amfac_edge.keypoints import (
    SCORE_MARGIN,
    ScoreCalibration,
    SimccCode,
    axis_scores,
    score_calibration_from_json,
    score_logits,
)

BLOCK: dict[str, Any] = {
    "kind": "platt",
    "temperature": 0.8,
    "slope": 2.5,
    "intercept": 4.0,
    "weights_sha256": "ab" * 32,
    "fitted_on": {"data": "made"},
}


def test_the_block_comes_back() -> None:
    calibration = score_calibration_from_json(json.loads(json.dumps(BLOCK)), where="m.pth")
    assert calibration == ScoreCalibration(0.8, 2.5, 4.0, "ab" * 32, {"data": "made"})
    assert calibration.as_json() == BLOCK


def test_the_map_by_hand() -> None:
    # s = 0.2: log(0.2 / 0.8) = -log 4; times 2.5 plus 4: p = 1 / (1 + exp(2.5 log 4 - 4)) = 1 / (1 + 32 / e^4).
    found = ScoreCalibration(1, 2.5, 4.0).applied(np.array([0.2, 0.5], np.float32))
    assert found.tolist() == pytest.approx([1 / (1 + 32 / np.exp(4)), 1 / (1 + np.exp(-4))], rel=1e-6)
    assert found.dtype == np.float32
    identity = np.linspace(0.01, 0.99, 50, dtype=np.float32)
    assert ScoreCalibration(1, 1, 0).applied(identity) == pytest.approx(identity, abs=1e-6)


def test_the_ends_are_kept_apart() -> None:
    ends = np.array([0, SCORE_MARGIN, 1 - SCORE_MARGIN, 1])
    logits = score_logits(ends)
    assert np.isfinite(logits).all()
    assert logits[0] == logits[1] == pytest.approx(-logits[3]) == pytest.approx(np.log(SCORE_MARGIN), abs=2e-4)
    steepest = ScoreCalibration(1, 100, 1000).applied(ends)
    assert np.isfinite(steepest).all()


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20),
    st.floats(1e-3, 100),
    st.floats(-1000, 1000),
)
def test_a_higher_score_is_never_a_lower_probability(values: list[float], slope: float, intercept: float) -> None:
    found = ScoreCalibration(1, slope, intercept).applied(np.sort(np.array(values, np.float32)))
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_decoding_takes_the_calibrations_temperature_and_map() -> None:
    code = SimccCode(8, 8)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(0, 3, (2, 3, 16)).astype(np.float32) for _ in range(2))
    calibration = ScoreCalibration(0.5, 2.0, 1.0)
    keypoints, scores = code.decode(x, y, 0.8, calibration)
    plain_keypoints, plain = code.decode(x, y, 0.5)
    assert (keypoints == plain_keypoints).all()
    assert (scores == calibration.applied(plain)).all()
    assert (plain == axis_scores(x, y, 0.5).min(axis=-1)).all()
    powers = np.exp(x.astype(np.float64) / 0.5)
    assert axis_scores(x, y, 0.5)[..., 0] == pytest.approx(powers.max(-1) / powers.sum(-1), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "isotonic"}, r'kind: "isotonic" is none of platt'),
        ({"slope": -1}, "slope: -1 is not within 0.001 and 100"),
        ({"slope": 0}, "slope: 0 is not within"),
        ({"slope": 101}, "slope: 101 is not within"),
        ({"slope": True}, "slope: expected a number, got true"),
        ({"slope": 10**400}, "slope: expected a number"),
        ({"intercept": 1e6}, r"intercept: 1e\+06 is not within -1000 and 1000"),
        ({"intercept": float("nan")}, "not JSON: Out of range float"),
        ({"temperature": 0}, "temperature: 0 is not within 0.001 and 1000"),
        ({"temperature": float("inf")}, "not JSON"),
        ({"weights_sha256": "AB" * 32}, "weights_sha256: not a SHA-256 in hex"),
        ({"weights_sha256": "ab"}, "weights_sha256: not a SHA-256 in hex"),
        ({"fitted_on": [1]}, "fitted_on: expected a table"),
        ({"fitted_on": {"data": "x" * 200_000}}, "bytes, where 16,384 are enough"),
        ({"x" * 200_000: 1}, "bytes, where 16,384 are enough"),
        ({"bias": 1}, "bias: unknown key"),
        ({"fitted_on": {"of": {1, 2}}}, "not JSON: Object of type set"),
    ],
)
def test_hostile_blocks_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclaredError, match=message) as caught:
        score_calibration_from_json({**BLOCK, **changes}, where="m.pth")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("data", ["platt", [], 3, True])
def test_what_is_no_table_is_refused(data: object) -> None:
    with pytest.raises(DeclaredError, match="expected a table"):
        score_calibration_from_json(data, where="m.pth")


def test_a_missing_slope_is_named() -> None:
    with pytest.raises(DeclaredError, match="slope: this key is missing"):
        score_calibration_from_json({"kind": "platt", "temperature": 1, "intercept": 0}, where="m.pth")
