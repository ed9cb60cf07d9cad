"""A forecast is no measurement, and can't be taken for one."""

from __future__ import annotations

import dataclasses

import pytest

from amfac_edge.declared.target import load_target
from amfac_edge.performance import Measured
from amfac_edge.performance.forecast import Forecast, forecast_engine, subject_of_recipe

FORECAST = forecast_engine(subject_of_recipe("amfacpose-r18-256x256"), load_target("orin-nano"))


def test_it_has_nothing_that_a_measurement_has() -> None:
    measured = {field.name for field in dataclasses.fields(Measured)} | {"statistics"}
    assert not measured & (set(dir(FORECAST)) | {field.name for field in dataclasses.fields(Forecast)})
    assert not isinstance(FORECAST, Measured)


def test_a_measurement_takes_samples_and_conditions_alone() -> None:
    with pytest.raises(TypeError, match="no measurement"):
        Measured("engine", (FORECAST.mid_ms,), FORECAST)  # type: ignore[arg-type]


def test_its_json_says_so() -> None:
    assert FORECAST.as_json()["forecast"] is True
    assert FORECAST.as_json()["model"] == "engine"


@pytest.mark.parametrize(
    "times", [(0.0, 1.0, 2.0), (2.0, 1.0, 3.0), (1.0, 2.0, float("inf")), (1.0, float("nan"), 2.0)]
)
def test_impossible_times_are_refused(times: tuple[float, float, float]) -> None:
    low, mid, high = times
    with pytest.raises(ValueError, match="no forecast"):
        dataclasses.replace(FORECAST, low_ms=low, mid_ms=mid, high_ms=high)
