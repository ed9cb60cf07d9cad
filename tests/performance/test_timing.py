"""Series end when they should, and a clock that can't be trusted is told."""

from __future__ import annotations

import itertools

import pytest

from amfac_edge.errors import MachineError
from amfac_edge.performance.timing import MODES, Limits, overhead_us, series, with_others

TIMING = "amfac_edge.performance.timing"


def test_what_others_take_is_a_share_of_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    others, clock = iter([10.0, 13.0]), iter([0.0, 2.0])
    monkeypatch.setattr(f"{TIMING}.cpu_seconds_of_others", lambda: next(others))
    monkeypatch.setattr(f"{TIMING}.time.perf_counter", lambda: next(clock))
    assert with_others(lambda: "done") == ("done", 1.5)


def test_where_the_load_cant_be_read_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{TIMING}.cpu_seconds_of_others", lambda: None)
    assert with_others(lambda: 1) == (1, None)


def test_a_timed_series_has_its_fewest_samples() -> None:
    calls: list[int] = []
    samples = series(lambda: calls.append(1), Limits(seconds=0.0, warmup=3, fewest=5))
    # The time is up after the first call of the warm-up, too.
    assert (len(samples), len(calls)) == (5, 1 + 5)
    samples = series(lambda: calls.append(1), Limits(seconds=60.0, iterations=2, warmup=3))
    assert (len(samples), len(calls)) == (2, 6 + 3 + 2)
    assert len(series(lambda: None, Limits(seconds=60.0, most=7, warmup=0))) == 7


def test_the_modes_have_the_samples_that_percentiles_need() -> None:
    assert (MODES["quick"].fewest, MODES["quick"].most) == (64, 1000)
    assert (MODES["full"].seconds, MODES["full"].fewest) == (600.0, 662)


@pytest.mark.parametrize("times", [[0.0, 0.0, 0.0, 5.0, 4.9], [0.0, 0.0, 0.0, 5.0, 5.0]], ids=["back", "still"])
def test_a_clock_that_jumps_is_told(times: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.chain(times, itertools.repeat(6.0))
    monkeypatch.setattr(f"{TIMING}.time.perf_counter", clock.__next__)
    with pytest.raises(MachineError, match="the clock jumped: one of 1 calls took"):
        series(lambda: None, Limits(iterations=1, warmup=0))


def test_a_machine_that_slept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{TIMING}.slept_seconds", iter([1.0, 61.5]).__next__)
    with pytest.raises(MachineError, match=r"suspended for 60\.5 s while it was measured"):
        series(lambda: None, Limits(iterations=1, warmup=0))


def test_the_bench_knows_what_it_costs_itself() -> None:
    assert overhead_us() > 0
