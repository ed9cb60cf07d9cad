"""Latency, measured: samples that carry what they were measured on, and their statistics."""

from amfac_edge.performance.measuring import Limits, measure_artefact
from amfac_edge.performance.samples import Conditions, Measured, Statistics, percentile

__all__ = ["Conditions", "Limits", "Measured", "Statistics", "measure_artefact", "percentile"]
