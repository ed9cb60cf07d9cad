"""Statistics against hand-computed values, and figures that are not given where they aren't earned."""

from __future__ import annotations

from typing import Any

import pytest

from amfac_edge.performance import Conditions, Measured, Statistics, percentile
from amfac_edge.performance.samples import early_stopping

CONDITIONS = Conditions(
    processor="p",
    engine="e 1",
    provider="CPU",
    threads=2,
    spinning=True,
    artefact="a.onnx",
    sha256="0",
    recipe="r",
    precision="fp32",
    frame="1920x1080",
    people=1,
    governor=None,
    versions={"python": "3.11"},
)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [
        (10, 90, 9),  # one sample of ten lies above it
        (100, 90, 90),
        (100, 99, 99),
        (1000, 99, 990),
        (1, 99, 1),
        (3, 50, 2),
        (64, 90, 58),  # int(6.4) = 6 lie above it
    ],
)
def test_percentiles_by_trtexecs_rule(count: int, percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(count, 0, -1)], percent) == expected


@pytest.mark.parametrize(
    ("count", "known"),
    [
        (63, ()),
        (64, ("p90",)),
        (129, ("p90",)),
        (130, ("p90", "p95")),
        (661, ("p90", "p95")),
        (662, ("p90", "p95", "p99")),
    ],
)
def test_a_percentile_needs_its_samples(count: int, known: tuple[str, ...]) -> None:
    found = Statistics.of([float(value) for value in range(1, count + 1)])
    assert tuple(name for name in ("p90", "p95", "p99") if getattr(found, name) is not None) == known


def test_moments_by_hand() -> None:
    found = Statistics.of([1.0, 2.0, 3.0, 10.0])
    assert (found.count, found.min, found.mean, found.median, found.max) == (4, 1.0, 4.0, 2.5, 10.0)
    # Population standard deviation: sqrt((9 + 4 + 1 + 36) / 4).
    assert found.variation_percent == pytest.approx(100 * 12.5**0.5 / 4)
    assert found.per_second == 250.0


@pytest.mark.parametrize(
    ("percent", "fewest"), [(90, (64, 81, 97, 113)), (95, (130,)), (99, (662, 838, 1001))], ids=["p90", "p95", "p99"]
)
def test_early_stopping_discards_what_mlperfs_rule_lets_it(percent: float, fewest: tuple[int, ...]) -> None:
    # The counts are those of the rules' own table: one more sample may be over at each.
    for discarded, count in enumerate(fewest, start=1):
        samples = [float(value) for value in range(1, count + 1)]
        assert early_stopping(samples, percent) == count - discarded + 1
        # With one sample less, one less may be discarded; with none to discard there is no estimate.
        assert early_stopping(samples[:-1], percent) == (None if discarded == 1 else count - discarded + 1)


def test_the_estimate_is_on_the_safe_side_of_the_percentile() -> None:
    found = Statistics.of([float(value) for value in range(1, 1001)])
    assert found.early_stopping_p90 is not None
    assert found.p90 is not None
    assert found.p90 < found.early_stopping_p90 < 940


def test_nothing_is_clipped() -> None:
    assert Statistics.of([1.0] * 99 + [1000.0]).max == 1000.0


def test_a_figure_without_samples_or_conditions_is_no_measurement() -> None:
    assert Measured("frame", (2.0,), CONDITIONS).statistics.median == 2.0
    forecast: Any = {"target": "orin-nano-8", "frame_ms": 7.0}
    with pytest.raises(TypeError, match='"frame" without samples'):
        Measured("frame", (), CONDITIONS)
    with pytest.raises(TypeError, match="what they were taken on is no measurement"):
        Measured("frame", (7.0,), forecast)
