"""Ours beside what people use instead, in one run on one machine.

Each candidate runs in a process of its own, since thread pools of several engines in one process disturb each other,
and rounds are interleaved (A B C A B C ...), so that a change of the machine's mood meets all of them. A round's figure
is the median of its samples; a candidate's is the median of its rounds. All start from the same frame of uint8 pixels
and one box, and end at joints in frame pixels.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

import amfac_edge
from amfac_edge.artefact import read_manifest
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MachineError
from amfac_edge.keypoints import load_opencv
from amfac_edge.performance.measuring import people_boxes, still_frame
from amfac_edge.performance.timing import Limits, series, with_others
from amfac_edge.runtime import PoseEstimator
from amfac_edge.runtime.by_hand import HandWritten
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "BARS",
    "BAR_RECIPE",
    "BAR_THREADS",
    "OURS",
    "Candidate",
    "Comparison",
    "Times",
    "compare_candidates",
    "engine_version",
    "time_artefact",
    "time_by_hand",
    "time_call",
    "time_plain",
    "versions",
]

# What ours must reach on this recipe with so many threads, end to end: times faster than each candidate.
BAR_RECIPE, BAR_THREADS = "amfacpose-r18-256x256", 2
BARS = {"eager torch": 3.5, "plain ONNX Runtime": 3.6}
OURS = "ours"
_SLOWEST_S = 600.0


class Times(TypedDict):
    """What a child answers: milliseconds of every frame and of its network, what others took, and what ran."""

    frame_ms: list[float]
    network_ms: list[float]
    busy: float | None
    engine: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Candidate:
    """One way to run a model.

    Attributes:
        name: for the table.
        function: "module:function" that times it in a child; takes `path`, `artefact`, `threads`, `seconds` and returns
            `Times`.
        path: of the file that it runs.
        interpreter: Python of its own environment; None for this one.
        missing: why it can't run here, with the command that mends it; empty where it can.
        precision: that it computes in.
        of_recipe: whether it runs the model that the others run; False of a program that has its own.
    """

    name: str
    function: str
    path: Path
    interpreter: Path | None = None
    missing: str = ""
    precision: str = "fp32"
    of_recipe: bool = True

    @property
    def foreign(self) -> bool:
        """Whether it is of an environment that isn't ours to keep in order."""
        return self.interpreter is not None or not self.of_recipe


@dataclass(frozen=True)
class Comparison:
    """What a model's rounds gave.

    Attributes:
        recipe: the model.
        threads: of each engine.
        frame_ms: by candidate, the median of each round, end to end.
        network_ms: the same, of the network alone.
        busy: the most that other processes took of the CPU during a timing, 1.0 is one core; None where it can't be
            read.
        runs: by candidate, what its child answered in each round.
        skipped: by candidate, why it was not timed.
    """

    recipe: str
    threads: int
    frame_ms: dict[str, list[float]]
    network_ms: dict[str, list[float]]
    busy: float | None = None
    runs: dict[str, list[Times]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def ratio(self, other: str) -> float:
        """How many times faster ours is than `other`, end to end: the median over rounds of the rounds' own ratios."""
        pairs = zip(self.frame_ms[other], self.frame_ms[OURS], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    @property
    def has_bar(self) -> bool:
        """Whether `BARS` are for this model and these threads."""
        return (self.recipe, self.threads) == (BAR_RECIPE, BAR_THREADS)

    def missed(self) -> list[str]:
        """A sentence for each bar that isn't reached; none where there is no bar for this comparison."""
        return [
            f"only {self.ratio(name):.2f}x faster than {name}, not {bar}x"
            for name, bar in BARS.items()
            if self.has_bar and name in self.frame_ms and self.ratio(name) < bar
        ]

    def unlooked(self) -> list[str]:
        """Of the candidates that the bars are about, those that were not measured."""
        return [name for name in BARS if name not in self.frame_ms]

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "recipe": self.recipe,
            "threads": self.threads,
            "frame_ms": self.frame_ms,
            "network_ms": self.network_ms,
            "ratios": {name: self.ratio(name) for name in self.frame_ms if name != OURS},
            "bar_met": not self.missed() if self.has_bar and not self.unlooked() else None,
            "busy": self.busy,
            "skipped": self.skipped,
        }


def compare_candidates(
    candidates: Sequence[Candidate],
    artefact: Path,
    *,
    threads: int,
    rounds: int,
    seconds: float,
    done: Callable[[], None],
) -> Comparison:
    """Time `candidates` of one model in interleaved rounds.

    Args:
        candidates: ours among them, by the name "ours".
        artefact: ours; the others take their recipe from its manifest.
        threads: of each engine.
        rounds: at least one.
        seconds: that each candidate is timed in each round.
        done: called after each timing.

    A foreign candidate that fails is skipped from then on, and costs the others nothing.

    Raises:
        MachineError: another candidate failed.
    """
    skipped = {candidate.name: candidate.missing for candidate in candidates if candidate.missing}
    present = [candidate for candidate in candidates if not candidate.missing]
    runs: dict[str, list[Times]] = {candidate.name: [] for candidate in present}
    for _ in range(rounds):
        for candidate in present:
            if candidate.name in skipped:
                continue
            try:
                runs[candidate.name].append(_timed(candidate, artefact, threads, seconds))
            except MachineError as error:
                if not candidate.foreign:
                    raise
                skipped[candidate.name] = error.problem
                del runs[candidate.name]
            done()
    every = [times for answers in runs.values() for times in answers]
    return Comparison(
        recipe=read_manifest(artefact).recipe.name,
        threads=threads,
        frame_ms={name: [statistics.median(times["frame_ms"]) for times in answers] for name, answers in runs.items()},
        network_ms={
            name: [statistics.median(times["network_ms"]) for times in answers] for name, answers in runs.items()
        },
        busy=max((times["busy"] for times in every if times["busy"] is not None), default=None),
        runs=runs,
        skipped=skipped,
    )


def time_artefact(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """Our artefact through `PoseEstimator`: what a child runs for "ours"."""
    del artefact  # the file itself
    with PoseEstimator(path, threads=threads) as estimator:
        engine = f"{estimator.settings.engine}, {estimator.settings.provider}"
        return time_call(lambda frame, boxes: estimator.timed(frame, boxes)[1].network_ms, seconds, engine)


def time_plain(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """A raw ONNX graph with a pipeline written by hand: what a child runs for "plain ONNX Runtime"."""
    graph = RawGraph(Path(path).read_bytes(), name=path, threads=threads)

    def network(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = graph.run({"image": image})
        return x, y

    return time_by_hand(HandWritten(network, read_manifest(Path(artefact)).recipe), seconds, engine_version())


def time_by_hand(pipeline: HandWritten, seconds: float, engine: str) -> Times:
    """The series of a hand-written pipeline on the frame and the box that all candidates get."""
    return time_call(lambda frame, boxes: pipeline.timed(frame, boxes)[1], seconds, engine)


def time_call(call: Callable[[NDArray[np.uint8], NDArray[np.float64]], float], seconds: float, engine: str) -> Times:
    """The series of `call`, which returns the network's part in milliseconds.

    Args:
        call: takes a frame (H,W,3) and boxes (N,4).
        seconds: that it is timed.
        engine: what runs, and its version.
    """
    frame = still_frame()
    boxes = people_boxes(1, *frame.shape[:2])
    network: list[float] = []
    whole, busy = with_others(lambda: series(lambda: network.append(call(frame, boxes)), Limits(seconds)))
    return {
        "frame_ms": whole,
        "network_ms": network[-len(whole) :],
        "busy": busy,
        "engine": engine,
        "versions": versions(),
    }


def engine_version() -> str:
    """ONNX Runtime and its version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def versions() -> dict[str, str]:
    """Of this package, Python and the libraries that every frame goes through."""
    return {
        "amfac-edge": amfac_edge.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": load_opencv("cutting crops").__version__,
    }


def _timed(candidate: Candidate, artefact: Path, threads: int, seconds: float) -> Times:
    try:
        times: Times = call_in_child(
            candidate.function,
            timeout_s=_SLOWEST_S + 3 * seconds,
            interpreter=candidate.interpreter,
            path=str(candidate.path),
            artefact=str(artefact),
            threads=threads,
            seconds=seconds,
        )
    except ChildFailure as failure:
        raise MachineError(
            f"{candidate.name} could not be timed: {failure.reason}", cure="amfac-doctor says what is missing."
        ) from failure
    return times
