"""Samples of latency and what may be said of them.

Percentiles follow trtexec (sampleReporting.cpp): of the ascending samples the one at N - 1 - int((1 - p/100) N), in
exact arithmetic and without interpolation. A percentile is given only from as many samples as MLPerf's early-stopping
rule needs for it; below that it is None, not a guess. Nothing is clipped. All times are in milliseconds.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FEWEST_SAMPLES", "Conditions", "Measured", "Statistics", "percentile"]

# MLPerf inference rules, single stream, early stopping (d = 0, c = 0.99): the fewest queries for one discarded sample.
FEWEST_SAMPLES = {90: 64, 95: 130, 99: 662}


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
    """Of one series of samples; a percentile is None where the samples are too few for it."""

    count: int
    min: float
    mean: float
    median: float
    p90: float | None
    p95: float | None
    p99: float | None
    max: float
    variation_percent: float

    @property
    def per_second(self) -> float:
        """Frames a second of a single stream: 1000 / mean."""
        return 1e3 / self.mean

    @classmethod
    def of(cls, samples: Sequence[float]) -> Statistics:
        """The statistics of one sample or more."""
        mean = statistics.fmean(samples)
        known = {
            percent: percentile(samples, percent) if len(samples) >= fewest else None
            for percent, fewest in FEWEST_SAMPLES.items()
        }
        return cls(
            count=len(samples),
            min=min(samples),
            mean=mean,
            median=statistics.median(samples),
            p90=known[90],
            p95=known[95],
            p99=known[99],
            max=max(samples),
            variation_percent=100 * statistics.pstdev(samples) / mean,
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
