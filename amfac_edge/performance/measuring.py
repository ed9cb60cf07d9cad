"""Single-stream latency of an artefact: the next call starts when the last one has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.machine.load import cpu_seconds_of_others
from amfac_edge.machine.processor import read_processor
from amfac_edge.performance.samples import Conditions, Measured
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from amfac_edge.sessions import PoseSession

__all__ = ["BOUNDARIES", "Limits", "Measurement", "measure_artefact", "people_boxes", "series", "still_frame"]

BOUNDARIES = ("engine", "frame", "crop", "network", "decode")
_SEED = 0


@dataclass(frozen=True)
class Limits:
    """When a series ends: after `iterations`, or after `seconds` and at least `fewest` samples.

    Attributes:
        seconds: of each series.
        iterations: exact number of samples instead, None for the time.
        warmup: calls before the first sample.
        fewest: samples that a timed series has at least.
    """

    seconds: float = 3.0
    iterations: int | None = None
    warmup: int = 10
    fewest: int = 10


@dataclass(frozen=True)
class Measurement:
    """All series of one artefact.

    Attributes:
        series: by boundary. "engine" is one call on crops that lie ready; "frame" is a whole frame, from uint8 pixels
            and boxes to joints in frame pixels; "crop", "network" and "decode" are its parts.
        load_ms: opening the file until it can be called.
        first_ms: the first call after that.
        busy: CPU time that others took while the series ran, as a share of one core; None where it can't be read.
    """

    series: dict[str, Measured]
    load_ms: float
    first_ms: float
    busy: float | None


def measure_artefact(
    path: Path,
    *,
    frame: NDArray[np.uint8],
    people: int,
    threads: int | None = None,
    spinning: bool = True,
    limits: Limits = Limits(),
) -> Measurement:
    """Measure an artefact on this machine.

    Args:
        path: an artefact that takes crops.
        frame: (H,W,3) uint8 BGR.
        people: boxes in the frame.
        threads: of the engine, None for this machine's cores.
        spinning: whether its idle threads wait actively.
        limits: when a series ends.

    Raises:
        AmfacError: the file or the machine can't be used; see `PoseEstimator`.
    """
    boxes = people_boxes(people, *frame.shape[:2])
    started = time.perf_counter()
    session = open_session(path, threads=threads, spinning=spinning)
    with PoseEstimator.over(session) as estimator:
        loaded = time.perf_counter()
        estimator(frame, boxes)
        first = time.perf_counter()
        manifest, settings = estimator.manifest, estimator.settings
        conditions = Conditions(
            processor=read_processor(Path("/")).name,
            engine=settings.engine,
            provider=settings.provider,
            threads=settings.threads,
            spinning=settings.spinning,
            artefact=path.name,
            sha256=manifest.digests.get("artefact", ""),
            recipe=manifest.recipe.name,
            precision=manifest.precision,
            frame=f"{frame.shape[1]}x{frame.shape[0]}",
            people=people,
        )
        others, began = cpu_seconds_of_others(), time.perf_counter()
        samples = _frame_series(estimator, frame, boxes, limits)
        samples["engine"] = _engine_series(session, limits)
        since, lasted = cpu_seconds_of_others(), time.perf_counter() - began
    busy = None if others is None or since is None else max(since - others, 0.0) / lasted
    series = {name: Measured(name, tuple(samples[name]), conditions) for name in BOUNDARIES}
    return Measurement(series, (loaded - started) * 1e3, (first - loaded) * 1e3, busy)


def still_frame(height: int = 1080, width: int = 1920) -> NDArray[np.uint8]:
    """A frame (height,width,3) uint8 of noise: the time of none of the stages depends on what is in it."""
    return np.random.default_rng(_SEED).integers(0, 256, (height, width, 3), np.uint8)


def people_boxes(people: int, height: int, width: int) -> NDArray[np.float64]:
    """Boxes (people,4) xyxy of standing people side by side, three quarters of the frame high."""
    step = width / people
    wide = min(step, height * 0.3)
    left = np.arange(people) * step + (step - wide) / 2
    return np.stack([left, np.full(people, height * 0.15), left + wide, np.full(people, height * 0.9)], axis=1)


def _frame_series(
    estimator: PoseEstimator, frame: NDArray[np.uint8], boxes: NDArray[np.float64], limits: Limits
) -> dict[str, list[float]]:
    stages: list[tuple[float, float, float]] = []
    whole = series(lambda: stages.append(estimator.timed(frame, boxes)[1]), limits)
    kept = stages[len(stages) - len(whole) :]
    crop, network, decode = (list(column) for column in zip(*kept, strict=True))
    return {"frame": whole, "crop": crop, "network": network, "decode": decode}


def _engine_series(session: PoseSession, limits: Limits) -> list[float]:
    crop = session.manifest.recipe.crop
    batch = session.manifest.batch.optimum
    crops = np.random.default_rng(_SEED).integers(0, 256, (batch, crop.height, crop.width, 3), np.uint8)
    return series(lambda: session.run(crops), limits)


def series(call: Callable[[], object], limits: Limits) -> list[float]:
    """Milliseconds of one `call` after another, after the warm-up."""
    for _ in range(limits.warmup):
        call()
    samples: list[float] = []
    clock = time.perf_counter
    end = clock() + limits.seconds
    while not _is_done(samples, limits, clock() >= end):
        started = clock()
        call()
        samples.append((clock() - started) * 1e3)
    return samples


def _is_done(samples: Sequence[float], limits: Limits, time_is_up: bool) -> bool:  # noqa: FBT001 - private
    if limits.iterations is not None:
        return len(samples) >= limits.iterations
    return time_is_up and len(samples) >= limits.fewest
