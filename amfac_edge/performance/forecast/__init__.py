"""What a machine that nobody measured is expected to take; `Forecast` is another type than `Measured`."""

from amfac_edge.performance.forecast.eager import forecast_eager
from amfac_edge.performance.forecast.engine import forecast_engine, subject_run
from amfac_edge.performance.forecast.forecasts import EAGER, ENGINE, Forecast
from amfac_edge.performance.forecast.subjects import Subject, subject_of, subject_of_manifest, subject_of_recipe

__all__ = [
    "EAGER",
    "ENGINE",
    "Forecast",
    "Subject",
    "forecast_eager",
    "forecast_engine",
    "subject_of",
    "subject_of_manifest",
    "subject_of_recipe",
    "subject_run",
]
