"""Ours beside what people use instead, in one run on one machine.

Each candidate runs in a process of its own, since thread pools of several engines in one process disturb each other,
and rounds are interleaved (A B C A B C ...), so that a change of the machine's mood meets all of them. A round's figure
is the median of its samples; a candidate's is the median of its rounds. All start from the same frame of uint8 pixels
and one box, and end at joints in frame pixels.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from amfac_edge.artefact import read_manifest
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MachineError
from amfac_edge.performance.measuring import people_boxes, still_frame
from amfac_edge.performance.timing import Limits, series, with_others
from amfac_edge.runtime import PoseEstimator
from amfac_edge.runtime.by_hand import HandWritten
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
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
    "time_artefact",
    "time_by_hand",
    "time_plain",
]

# What ours must reach on this recipe with so many threads, end to end: times faster than each candidate.
BAR_RECIPE, BAR_THREADS = "amfacpose-r18-256x256", 2
BARS = {"eager torch": 3.5, "plain ONNX Runtime": 3.6}
OURS = "ours"
_SLOWEST_S = 600.0


class Times(TypedDict):
    """What a child answers: milliseconds of every frame and of its network, and what others took of the CPU."""

    frame_ms: list[float]
    network_ms: list[float]
    busy: float | None


@dataclass(frozen=True)
class Candidate:
    """One way to run a model.

    Attributes:
        name: for the table.
        function: "module:function" that times it in a child; takes `path`, `artefact`, `threads`, `seconds` and returns
            `Times`.
        path: of the file that it runs.
    """

    name: str
    function: str
    path: Path


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
    """

    recipe: str
    threads: int
    frame_ms: dict[str, list[float]]
    network_ms: dict[str, list[float]]
    busy: float | None = None

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
            if self.has_bar and self.ratio(name) < bar
        ]

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "recipe": self.recipe,
            "threads": self.threads,
            "frame_ms": self.frame_ms,
            "network_ms": self.network_ms,
            "ratios": {name: self.ratio(name) for name in self.frame_ms if name != OURS},
            "bar_met": not self.missed() if self.has_bar else None,
            "busy": self.busy,
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

    Raises:
        MachineError: a candidate's process died.
    """
    frame_ms: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    network_ms: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    busy: list[float] = []
    for _ in range(rounds):
        for candidate in candidates:
            times = _timed(candidate, artefact, threads, seconds)
            frame_ms[candidate.name].append(statistics.median(times["frame_ms"]))
            network_ms[candidate.name].append(statistics.median(times["network_ms"]))
            busy += [] if times["busy"] is None else [times["busy"]]
            done()
    recipe = read_manifest(artefact).recipe.name
    return Comparison(recipe, threads, frame_ms, network_ms, max(busy, default=None))


def time_artefact(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """Our artefact through `PoseEstimator`: what a child runs for "ours"."""
    del artefact  # the file itself
    with PoseEstimator(path, threads=threads) as estimator:
        return _times(lambda frame, boxes: estimator.timed(frame, boxes)[1].network_ms, seconds)


def time_plain(path: str, artefact: str, threads: int, seconds: float) -> Times:
    """A raw ONNX graph with a pipeline written by hand: what a child runs for "plain ONNX Runtime"."""
    graph = RawGraph(Path(path).read_bytes(), name=path, threads=threads)

    def network(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = graph.run({"image": image})
        return x, y

    return time_by_hand(HandWritten(network, read_manifest(Path(artefact)).recipe), seconds)


def time_by_hand(pipeline: HandWritten, seconds: float) -> Times:
    """The series of a hand-written pipeline on the frame and the box that all candidates get."""
    return _times(lambda frame, boxes: pipeline.timed(frame, boxes)[1], seconds)


def _timed(candidate: Candidate, artefact: Path, threads: int, seconds: float) -> Times:
    try:
        times: Times = call_in_child(
            candidate.function,
            timeout_s=_SLOWEST_S + 3 * seconds,
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


def _times(call: Callable[[NDArray[np.uint8], NDArray[np.float64]], float], seconds: float) -> Times:
    """The series of `call`, which takes the frame and the boxes and returns the network's part in milliseconds."""
    frame = still_frame()
    boxes = people_boxes(1, *frame.shape[:2])
    network: list[float] = []
    whole, busy = with_others(lambda: series(lambda: network.append(call(frame, boxes)), Limits(seconds)))
    return {"frame_ms": whole, "network_ms": network[-len(whole) :], "busy": busy}
