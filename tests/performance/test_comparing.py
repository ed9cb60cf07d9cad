"""Only what is comparable gets a ratio, and the ratio an interval that holds the truth as often as it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from amfac_edge.errors import InputError
from amfac_edge.performance import Conditions, Measured, Receipt
from amfac_edge.performance.comparing import Ratio, comparability, ratio_of

CONDITIONS = Conditions(
    processor="p",
    engine="e 1",
    provider="CPU",
    threads=2,
    spinning=True,
    artefact="a.onnx",
    sha256="ab" * 32,
    recipe="r",
    precision="fp32",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={},
)


def taken(
    median: float = 10.0,
    boundaries: tuple[str, ...] = ("frame",),
    *,
    seed: int = 0,
    count: int = 300,
    of: dict[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401 - of any field
) -> Receipt:
    conditions = dataclasses.replace(CONDITIONS, **(of or {}))
    noise = np.random.default_rng(seed).normal(0, 0.05 * median, count)
    samples = tuple((median + noise).tolist())
    series = {name: Measured(name, samples, conditions) for name in boundaries}
    fields: dict[str, Any] = {"findings": {"busy": 0.0}, "target": "cpu", **changes}
    return Receipt("2026-11-28T12:00:00Z", ("amfac-bench",), conditions, series, **fields)


@pytest.mark.parametrize(
    ("other", "obstacle"),
    [
        (taken(boundaries=("eager",)), "different boundaries: frame and eager"),
        (taken(of={"people": 5}), "people 1 and 5"),
        (taken(of={"frame": "640x480"}), "frame 1920x1080 and 640x480"),
        (taken(switches={"input": "frame"}), "input unknown and frame"),
        (taken(findings={"throttling": ["2 under-voltage events (oc1)"]}), "the second one was throttled: 2 under"),
    ],
)
def test_what_is_of_different_things_is_not_compared(other: Receipt, obstacle: str) -> None:
    verdict = comparability(taken(), other)
    assert not verdict.comparable
    assert any(line.startswith(obstacle) for line in verdict.obstacles)


def test_a_boundary_that_is_in_one_only() -> None:
    verdict = comparability(taken(boundaries=("frame", "engine")), taken(), "engine")
    assert verdict.obstacles == ('different boundaries: "engine" is not in both (frame, engine and frame)',)


def test_what_a_comparison_is_about_is_told() -> None:
    verdict = comparability(taken(), taken(of={"precision": "int8", "sha256": "cd" * 32}))
    assert verdict.comparable
    assert verdict.differences == ("precision: fp32, int8", "artefact: a.onnx abababababab, a.onnx cdcdcdcdcdcd")
    assert verdict.doubts == ()
    assert comparability(taken(), taken()).differences == ()


@pytest.mark.parametrize(
    ("other", "doubt"),
    [
        (taken(of={"precision": "int8"}, target="thor"), "2 things differ at once"),
        (taken(findings={"busy": 1.2}), "while the second one was taken others used 120% of a core"),
        (taken(findings={}), "the second one doesn't know what others took"),
        (taken(findings={"busy": "?"}), "the second one doesn't know"),
        (taken(findings={"busy": 10**400}), "the second one doesn't know"),
    ],
)
def test_doubts_are_told(other: Receipt, doubt: str) -> None:
    assert any(line.startswith(doubt) for line in comparability(taken(), other).doubts)


def test_a_pinned_clock_beside_a_free_one() -> None:
    pinned, free = ({"gpu_clock": {"min_mhz": low, "max_mhz": 918.0}} for low in (918.0, 306.0))
    verdict = comparability(taken(before=pinned), taken(before=free))
    assert verdict.doubts == ("the GPU's clock was pinned in one of them only",)


def test_drift_is_a_doubt() -> None:
    slow = Measured("frame", tuple(10 + index / 30 for index in range(90)), CONDITIONS)
    verdict = comparability(taken(), _with(slow))
    assert any("drifted by" in line for line in verdict.doubts)


def _with(series: Measured) -> Receipt:
    return dataclasses.replace(taken(), series={"frame": series})


def ends(ratio: Ratio) -> tuple[float, float]:
    assert ratio.low is not None
    assert ratio.high is not None
    return ratio.low, ratio.high


def test_the_ratio_says_how_many_times_as_fast_the_second_one_is() -> None:
    found = ratio_of(taken(20.0), taken(10.0, seed=1), "frame")
    assert found.ratio == pytest.approx(found.first_ms / found.second_ms)
    low, high = ends(found)
    assert low < 2.0 < high
    assert found.is_clear
    assert not ratio_of(taken(10.0), taken(10.0, seed=1), "frame").is_clear


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"of": {"spinning": False}}, "waiting: spinning, unknown, not spinning, unknown"),
        ({"switches": {"wait": "spin"}}, "waiting: spinning, unknown, spinning, spin"),
        ({"of": {"governor": "performance"}}, "governor: unknown, performance"),
        ({"of": {"versions": {"onnxruntime": "1.32.0"}}}, "onnxruntime: unknown, 1.32.0"),
        ({"switches": {"mode": "timed", "seconds": 5.0}}, "length: unknown, mode timed seconds 5.0"),
    ],
)
def test_whatever_the_receipts_know_is_told(changes: dict[str, Any], difference: str) -> None:
    assert comparability(taken(), taken(**changes)).differences == (difference,)


def test_modes_of_one_name_are_told_apart_by_how_the_board_was_flashed() -> None:
    plain, flashed = (
        taken(target="orin-nano-8", power_mode="15W", machine={"jetson": {"super_configuration": is_super}})
        for is_super in (False, True)
    )
    assert comparability(plain, flashed).differences == ("power mode: 15W, 15W-super",)


def test_few_samples_give_a_ratio_and_no_interval() -> None:
    few, enough = taken(20.0, count=9), taken(10.0, count=10)
    for first, second in ((few, enough), (enough, few)):
        ratio = ratio_of(first, second, "frame")
        assert (ratio.low, ratio.high, ratio.is_clear) == (None, None, False)
    assert ratio_of(taken(20.0, count=10), enough, "frame").is_clear


@pytest.mark.parametrize(("zeros", "others"), [(5, 4), (200, 100), (145, 155)])
def test_samples_of_no_time_have_no_ratio(zeros: int, others: int) -> None:
    # With 145 of 300 the median is above 0, but not that of every draw.
    none = _with(Measured("frame", (0.0,) * zeros + (10.0,) * others, CONDITIONS))
    with pytest.raises(InputError, match='"frame": half of the samples of the second one are 0 ms'):
        ratio_of(taken(), none, "frame")
    assert ratio_of(none, taken(), "frame").ratio < 1.1


def test_the_same_receipts_give_the_same_interval() -> None:
    assert ratio_of(taken(20.0), taken(10.0), "frame") == ratio_of(taken(20.0), taken(10.0), "frame")


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(40):
        found = ratio_of(taken(20.0, seed=seed, count=100), taken(10.0, seed=1000 + seed, count=100), "frame")
        low, high = ends(found)
        held += low <= 2.0 <= high
    # 38 of 40 are expected at 95 %; by chance fewer than 32 come once in ten thousand times.
    assert held >= 32


def test_neighbours_that_agree_make_the_interval_wider() -> None:
    rng = np.random.default_rng(0)
    steps = np.repeat(rng.normal(0, 0.5, 60), 10)  # ten samples in a row are nearly the same
    mixed = rng.permutation(steps)
    wide, narrow = (
        np.ptp(ends(ratio_of(_with(Measured("frame", tuple((10 + values).tolist()), CONDITIONS)), taken(), "frame")))
        for values in (steps, mixed)
    )
    assert wide > 1.5 * narrow
