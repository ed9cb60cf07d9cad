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
from typing import TYPE_CHECKING

from amfac_edge.artefact import read_manifest
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MachineError
from amfac_edge.performance.measuring import Limits, people_boxes, series, still_frame
from amfac_edge.runtime import PoseEstimator
from amfac_edge.runtime.by_hand import HandWritten
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BARS", "Candidate", "Comparison", "compare_candidates", "time_artefact", "time_by_hand", "time_plain"]

# What ours must reach on amfacpose-r18-256x256 at two threads, end to end: times faster than each candidate.
BARS = {"plain ONNX Runtime": 3.6, "eager torch": 3.5}
_OURS = "ours"
_SLOWEST_S = 600.0


@dataclass(frozen=True)
class Candidate:
    """One way to run a model.

    Attributes:
        name: for the table.
        function: "module:function" that times it in a child; takes `path`, `artefact`, `threads`, `seconds` and returns
            {"frame_ms": [...], "network_ms": [...]}.
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
    """

    recipe: str
    threads: int
    frame_ms: dict[str, list[float]]
    network_ms: dict[str, list[float]]

    def ratio(self, other: str) -> float:
        """How many times faster ours is than `other`, end to end: the median over rounds of the rounds' own ratios."""
        pairs = zip(self.frame_ms[other], self.frame_ms[_OURS], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "recipe": self.recipe,
            "threads": self.threads,
            "frame_ms": self.frame_ms,
            "network_ms": self.network_ms,
            "ratios": {name: self.ratio(name) for name in self.frame_ms if name != _OURS},
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
    for _ in range(rounds):
        for candidate in candidates:
            try:
                times = call_in_child(
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
            frame_ms[candidate.name].append(statistics.median(times["frame_ms"]))
            network_ms[candidate.name].append(statistics.median(times["network_ms"]))
            done()
    return Comparison(read_manifest(artefact).recipe.name, threads, frame_ms, network_ms)


def time_artefact(path: str, artefact: str, threads: int, seconds: float) -> dict[str, list[float]]:
    """Our artefact through `PoseEstimator`: what a child runs for "ours"."""
    del artefact  # the file itself
    frame = still_frame()
    boxes = people_boxes(1, *frame.shape[:2])
    network: list[float] = []
    with PoseEstimator(path, threads=threads) as estimator:
        whole = series(lambda: network.append(estimator.timed(frame, boxes)[1].network_ms), Limits(seconds))
    return {"frame_ms": whole, "network_ms": network[-len(whole) :]}


def time_plain(path: str, artefact: str, threads: int, seconds: float) -> dict[str, list[float]]:
    """A raw ONNX graph with a pipeline written by hand: what a child runs for "plain ONNX Runtime"."""
    graph = RawGraph(Path(path).read_bytes(), name=path, threads=threads)

    def network(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x, y = graph.run({"image": image})
        return x, y

    pipeline = HandWritten(network, read_manifest(Path(artefact)).recipe)
    return time_by_hand(pipeline, seconds)


def time_by_hand(pipeline: HandWritten, seconds: float) -> dict[str, list[float]]:
    """The series of a hand-written pipeline on the frame and the box that all candidates get."""
    frame = still_frame()
    boxes = people_boxes(1, *frame.shape[:2])
    network: list[float] = []
    whole = series(lambda: network.append(pipeline.timed(frame, boxes)[1]), Limits(seconds))
    return {"frame_ms": whole, "network_ms": network[-len(whole) :]}
