"""Samples of latency and what may be said of them.

Percentiles follow trtexec (sampleReporting.cpp): of the ascending samples the one at N - 1 - int((1 - p/100) N), in
exact arithmetic and without interpolation. A percentile is given only from as many samples as MLPerf's early-stopping
rule needs for it; below that it is None, not a guess. Nothing is clipped. All times are in milliseconds.

The early-stopping estimate of MLPerf's single stream (rules of 2026, d = 0, c = 0.99) is another figure: the sample
above which so few lie that, with 99 % confidence, nine of ten frames of a run without end would be faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FEWEST_SAMPLES", "Conditions", "Measured", "Statistics", "early_stopping", "percentile"]

# MLPerf inference rules, single stream, early stopping (d = 0, c = 0.99): the fewest queries for one discarded sample.
FEWEST_SAMPLES = {90: 64, 95: 130, 99: 662}
_DOUBT = 0.01


@dataclass(frozen=True)
class Conditions:
    """What a measurement was made on.

    Attributes:
        processor: its name.
        engine: library and version.
        provider: the part of it that ran.
        threads: of the engine.
        spinning: whether its idle threads wait actively.
        artefact: the file's name.
        sha256: of the file.
        recipe: of the model.
        precision: of the artefact.
        frame: width x height of the frame in pixels.
        people: boxes in a frame.
        governor: of the processor's clock; None where the kernel has none to show.
        versions: of this package, Python and the libraries that every frame goes through.
    """

    processor: str
    engine: str
    provider: str
    threads: int
    spinning: bool
    artefact: str
    sha256: str
    recipe: str
    precision: str
    frame: str
    people: int
    governor: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Statistics:
    """Of one series of samples; a percentile is None where the samples are too few for it.

    `variation_percent` is the coefficient of variance; `early_stopping_p90` the estimate of MLPerf's single stream.
    """

    count: int
    min: float
    mean: float
    median: float
    p90: float | None
    p95: float | None
    p99: float | None
    max: float
    variation_percent: float
    early_stopping_p90: float | None = None

    @property
    def per_second(self) -> float:
        """Frames a second of a single stream: 1000 / mean."""
        return 1e3 / self.mean

    @classmethod
    def of(cls, samples: Sequence[float]) -> Statistics:
        """The statistics of one sample or more."""
        values = np.asarray(samples, np.float64)
        mean = float(values.mean())
        known = {
            percent: percentile(samples, percent) if len(samples) >= fewest else None
            for percent, fewest in FEWEST_SAMPLES.items()
        }
        return cls(
            count=len(samples),
            min=min(samples),
            mean=mean,
            median=float(np.median(values)),
            p90=known[90],
            p95=known[95],
            p99=known[99],
            max=max(samples),
            variation_percent=100 * float(values.std()) / mean if mean else 0.0,
            early_stopping_p90=early_stopping(samples, 90),
        )


@dataclass(frozen=True)
class Measured:
    """Samples that were really taken, of one boundary. A forecast is another type and can't stand in its place.

    Attributes:
        boundary: what lies between start and stop: "engine", "frame", "crop", "network", "decode", "ahead" or
            "host".
        samples_ms: every sample, in order; at least one.
        conditions: what it was measured on.

    Raises:
        TypeError: no samples, or no conditions: such a figure was not measured.
    """

    boundary: str
    samples_ms: tuple[float, ...]
    conditions: Conditions

    def __post_init__(self) -> None:
        if not self.samples_ms or not isinstance(self.conditions, Conditions):
            message = f'"{self.boundary}" without samples and what they were taken on is no measurement'
            raise TypeError(message)

    @property
    def statistics(self) -> Statistics:
        """Of the samples."""
        return Statistics.of(self.samples_ms)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The `percent`th percentile of `samples` by trtexec's rule."""
    ascending = sorted(samples)
    count = len(ascending)
    return ascending[max(count - 1 - int((100 - percent) * count / 100), 0)]


def early_stopping(samples: Sequence[float], percent: float) -> float | None:
    """MLPerf's early-stopping estimate of the `percent`th percentile; None where the samples are too few for one."""
    discarded = _most_over(len(samples), 1 - percent / 100)
    return sorted(samples)[len(samples) - discarded] if discarded else None


def _most_over(count: int, share: float) -> int:
    """The most queries t that may be over: t or fewer of `count`, each over with `share`, are 1 % likely at most."""
    over = np.arange(1, int(count * share) + 2, dtype=np.float64)
    steps = np.log((count - over + 1) / over) + math.log(share / (1 - share))
    likely = np.exp(count * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)]))
    return int(np.count_nonzero(np.cumsum(likely) <= _DOUBT)) - 1 if likely[0] <= _DOUBT else 0
