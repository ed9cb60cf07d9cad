"""Latency, measured: samples that carry what they were measured on, and their statistics."""

from amfac_edge.performance.host import HostCost, measure_host
from amfac_edge.performance.measuring import Measurement, measure_artefact
from amfac_edge.performance.receipts import Receipt, read_receipt, write_receipt
from amfac_edge.performance.samples import Conditions, Measured, Statistics, percentile
from amfac_edge.performance.timing import Limits

__all__ = [
    "Conditions",
    "HostCost",
    "Limits",
    "Measured",
    "Measurement",
    "Receipt",
    "Statistics",
    "measure_artefact",
    "measure_host",
    "percentile",
    "read_receipt",
    "write_receipt",
]
