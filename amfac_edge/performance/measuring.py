"""Single-stream latency of an artefact: the next call starts when the last one has ended."""

from __future__ import annotations

import platform
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import amfac_edge
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MachineError
from amfac_edge.files import sha256_of
from amfac_edge.keypoints import crop_affines, load_opencv
from amfac_edge.machine.processor import read_processor
from amfac_edge.performance.observing import Observing
from amfac_edge.performance.samples import Conditions, Measured
from amfac_edge.performance.steadiness import drift_percent
from amfac_edge.performance.timing import Limits, overhead_us, series
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import FrameSession, TimedSession, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest
    from amfac_edge.performance.observing import Observed
    from amfac_edge.sessions import EngineTimes, PoseGpuOptions, PoseSession

__all__ = [
    "BOUNDARIES",
    "TRTEXEC_FIELDS",
    "Measurement",
    "cold_start",
    "conditions_of",
    "measure_artefact",
    "people_boxes",
    "still_frame",
]

TRTEXEC_FIELDS = ("latency", "enqueue", "h2d", "compute", "d2h")
BOUNDARIES = ("engine", "frame", "crop", "network", "decode", "ahead")
_SEED = 0
_USUAL = Limits()
_SLOWEST_START_S = 300.0


@dataclass(frozen=True)
class Measurement:
    """All series of one artefact, and what was seen of the machine around them.

    Attributes:
        series: by boundary. "engine" is the network on crops of all people that lie ready, or on the frame where it
            takes that; "frame" is a whole frame,
            from uint8 pixels and boxes to joints in frame pixels; "crop", "network" and "decode" are its parts. "ahead"
            is from one frame's joints to the next one's where two are under way (`PoseEstimator.submit`). Of a plan of
            crops also trtexec's fields, by the GPU's clock: "latency" = "h2d" + "compute" + "d2h", and the host's
            "enqueue".
        load_ms: a cold start: importing the engine and OpenCV and opening the file, in a fresh process.
        first_ms: the first frame after that.
        after_idle_ms: frames that came after the machine had stood idle for `Limits.pause_s`.
        observed: the machine around the series.
        overhead_us: of taking a sample, beside the sample.
        manifest: of the artefact.
        notes: what the engine remarked.
    """

    series: dict[str, Measured]
    load_ms: float
    first_ms: float
    after_idle_ms: tuple[float, ...]
    observed: Observed
    overhead_us: float
    manifest: Manifest
    notes: tuple[str, ...] = ()

    @property
    def busy(self) -> float | None:
        """CPU time that others took while the series ran, as a share of one core; None where it can't be read."""
        return self.observed.busy

    @property
    def drift_percent(self) -> float | None:
        """How much slower frames were in the last third than in the first; None of too few."""
        return drift_percent(self.series["frame"].samples_ms)


def measure_artefact(  # noqa: PLR0913 - how it is run, how long, and who is told
    path: Path,
    *,
    frame: NDArray[np.uint8],
    people: int,
    threads: int | None = None,
    spinning: bool = True,
    limits: Limits = _USUAL,
    crops: str = "cpu",
    gpu: PoseGpuOptions | None = None,
    stage: Callable[[str], object] | None = None,
) -> Measurement:
    """Measure an artefact on this machine.

    Args:
        path: an artefact that takes crops or frames.
        frame: (H,W,3) uint8 BGR.
        people: boxes in the frame.
        threads: of the engine, None for this machine's cores.
        spinning: whether its idle threads wait actively.
        limits: when a series ends.
        crops: of a plan of crops: "cpu", or "gpu" to let the GPU cut them.
        gpu: how a plan, or an .onnx on a card, is run.
        stage: is told the name of each series before it begins.

    Raises:
        AmfacError: the file or the machine can't be used; see `PoseEstimator`, and `series` for its clock.
    """
    boxes = people_boxes(people, *frame.shape[:2])
    session = open_session(path, threads=threads, spinning=spinning, **(gpu or {}))
    with PoseEstimator.over(session, crops=crops) as estimator:
        conditions = conditions_of(estimator, artefact=path.name, sha256=sha256_of(path), frame=frame, people=people)
        estimator(frame, boxes)  # whatever is wrong with the file is told here, by its own message
        cold = _cold_start_of(path, conditions, frame.shape[0], frame.shape[1], {**(gpu or {}), "crops": crops})
        with Observing(stage=stage) as observing:
            samples = observing.timed("frame", lambda: _frame_series(estimator, frame, boxes, limits))
            samples |= observing.timed("engine", lambda: _engine_series(session, frame, boxes, limits))
            samples |= observing.timed("ahead", lambda: {"ahead": _ahead_series(estimator, frame, boxes, limits)})
            if isinstance(session, TimedSession) and session.manifest.input_kind == "crops":
                samples |= _trtexec_series(session, len(boxes), limits)
        after_idle = _after_idle(lambda: estimator(frame, boxes), limits)
        notes = session.settings.notes
    return Measurement(
        series={
            name: Measured(name, tuple(samples[name]), conditions)
            for name in (*BOUNDARIES, *TRTEXEC_FIELDS)
            if name in samples
        },
        load_ms=cold["load_ms"],
        first_ms=cold["first_ms"],
        after_idle_ms=after_idle,
        observed=observing.result(),
        overhead_us=overhead_us(),
        manifest=estimator.manifest,
        notes=notes,
    )


def conditions_of(
    estimator: PoseEstimator, *, artefact: str, sha256: str, frame: NDArray[np.uint8], people: int
) -> Conditions:
    """What a series of `estimator` on `frame` (H,W,3) is measured on.

    Args:
        estimator: that is measured.
        artefact: the file's name.
        sha256: of the file.
        frame: (H,W,3) uint8 BGR.
        people: boxes in it.
    """
    manifest, settings, processor = estimator.manifest, estimator.settings, read_processor(Path("/"))
    return Conditions(
        processor=processor.name,
        engine=settings.engine,
        provider=settings.provider,
        threads=settings.threads,
        spinning=settings.spinning,
        artefact=artefact,
        sha256=sha256,
        recipe=manifest.recipe.name,
        precision=manifest.precision,
        frame=f"{frame.shape[1]}x{frame.shape[0]}",
        people=people,
        governor=processor.governor,
        versions={
            "amfac-edge": amfac_edge.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": load_opencv("cutting crops").__version__,
        },
    )


def cold_start(
    path: str, *, height: int, width: int, people: int, threads: int, spinning: bool, gpu: dict[str, Any]
) -> dict[str, float]:
    """Milliseconds until a frame of that size can be handed in, and until its joints are there: what a child runs."""
    frame, boxes = still_frame(height, width), people_boxes(people, height, width)
    started = time.perf_counter()
    with PoseEstimator(path, threads=threads, spinning=spinning, **gpu) as estimator:
        loaded = time.perf_counter()
        estimator(frame, boxes)
        first = time.perf_counter()
    return {"load_ms": (loaded - started) * 1e3, "first_ms": (first - loaded) * 1e3}


def _cold_start_of(
    path: Path, conditions: Conditions, height: int, width: int, gpu: Mapping[str, object]
) -> dict[str, float]:
    try:
        times: dict[str, float] = call_in_child(
            f"{__name__}:{cold_start.__name__}",
            timeout_s=_SLOWEST_START_S,
            path=str(path.resolve()),
            height=height,
            width=width,
            people=conditions.people,
            threads=conditions.threads,
            spinning=conditions.spinning,
            gpu=dict(gpu),
        )
    except ChildFailure as failure:
        raise MachineError(
            f"{path}: the process for its cold start gave no answer: {failure.reason}",
            cure="amfac-doctor says what is missing here.",
        ) from failure
    return times


def still_frame(height: int = 1080, width: int = 1920) -> NDArray[np.uint8]:
    """A frame (height,width,3) uint8 of noise: the time of none of the stages depends on what is in it."""
    return np.random.default_rng(_SEED).integers(0, 256, (height, width, 3), np.uint8)


def people_boxes(people: int, height: int, width: int) -> NDArray[np.float64]:
    """Boxes (people,4) xyxy of standing people side by side, three quarters of the frame high."""
    step = width / people
    wide = min(step, height * 0.3)
    left = np.arange(people) * step + (step - wide) / 2 - 0.5  # where the first pixel begins
    return np.stack([left, np.full(people, height * 0.15), left + wide, np.full(people, height * 0.9)], axis=1)


def _frame_series(
    estimator: PoseEstimator, frame: NDArray[np.uint8], boxes: NDArray[np.float64], limits: Limits
) -> dict[str, list[float]]:
    stages: list[tuple[float, float, float]] = []
    whole = series(lambda: stages.append(estimator.timed(frame, boxes)[1]), limits)
    kept = stages[len(stages) - len(whole) :]
    crop, network, decode = (list(column) for column in zip(*kept, strict=True))
    return {"frame": whole, "crop": crop, "network": network, "decode": decode}


def _ahead_series(
    estimator: PoseEstimator, frame: NDArray[np.uint8], boxes: NDArray[np.float64], limits: Limits
) -> list[float]:
    """One frame is always in the network while the next one's crops are cut."""
    tickets = deque([estimator.submit(frame, boxes)])

    def next_joints() -> None:
        tickets.append(estimator.submit(frame, boxes))
        tickets.popleft().result()

    samples = series(next_joints, limits)
    tickets.pop().result()
    return samples


def _engine_series(
    session: PoseSession, frame: NDArray[np.uint8], boxes: NDArray[np.float64], limits: Limits
) -> dict[str, list[float]]:
    crop = session.manifest.recipe.crop
    if session.manifest.input_kind == "frame" and isinstance(session, FrameSession):
        whole, affines = session, crop_affines(boxes, crop).astype(np.float32)
        return {"engine": series(lambda: whole.run_frame(frame, affines), limits)}
    crops = np.random.default_rng(_SEED).integers(0, 256, (len(boxes), crop.height, crop.width, 3), np.uint8)
    return {"engine": series(lambda: session.run(crops), limits)}


def _trtexec_series(session: TimedSession, people: int, limits: Limits) -> dict[str, list[float]]:
    """Trtexec's fields of the same names: by the GPU's clock but for "enqueue", the input in pinned memory."""
    crop = session.manifest.recipe.crop
    crops = np.random.default_rng(_SEED).integers(0, 256, (people, crop.height, crop.width, 3), np.uint8)
    times: list[EngineTimes] = []
    count = len(series(lambda: times.append(session.run_timed(crops)), limits))
    kept = times[-count:]
    return {name: [getattr(one, f"{name}_ms") for one in kept] for name in TRTEXEC_FIELDS}


def _after_idle(call: Callable[[], object], limits: Limits) -> tuple[float, ...]:
    """Milliseconds of a call after the machine stood idle, `limits.pauses` times."""
    samples = []
    for _ in range(limits.pauses):
        time.sleep(limits.pause_s)
        samples += series(call, Limits(iterations=1, warmup=0))
    return tuple(samples)
