"""Several cameras on one engine: what they ask for at about the same time goes through it in one batch."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import FrameError, InputError
from amfac_edge.runtime.estimator import StageTimes

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.keypoints import Skeleton
    from amfac_edge.runtime.estimator import PoseEstimator
    from amfac_edge.runtime.poses import Poses

__all__ = ["MicroBatcher"]

_MOST_PEOPLE, _WAIT_MS = 8, 4.0


@dataclass(eq=False)
class _Asked:
    """A frame that a camera waits for."""

    frame: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    asked: float = field(default_factory=lambda: monotonic())  # noqa: PLW0108 - looked up at each call
    done: threading.Event = field(default_factory=threading.Event)
    poses: Poses | None = None
    fault: BaseException | None = None


class MicroBatcher:
    """Takes the place of an estimator for several cameras, each in a thread of its own.

        with PoseEstimator("model.plan") as estimator, MicroBatcher(estimator, cameras=3) as batcher:
            ...                                       # in the thread of each camera
            poses = batcher(frame, boxes)

    A call returns when its people's poses are there. Once the engine is free, who asked first waits at most `wait_ms`
    for others; less when a batch is full, or every camera has asked. On a GPU a batch costs little more than one crop,
    so the cameras share it; on a CPU it costs as much as its crops do one by one, and a batcher gains nothing.

    Args:
        estimator: of all; whoever opened it closes it, after this.
        cameras: how many threads ask: once they all have, nobody else is waited for. None where that isn't known.
        most_people: crops that are enough for a batch. A frame with more goes through whole.
        wait_ms: milliseconds that a free engine waits for others at most; 0 takes what is there.

    Attributes:
        skeleton: of the joints.
        frames, batches: how many went through so far; frames over batches says what sharing gained.

    Raises:
        InputError: numbers that can't be meant.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        *,
        cameras: int | None = None,
        most_people: int = _MOST_PEOPLE,
        wait_ms: float = _WAIT_MS,
    ) -> None:
        if (cameras is not None and cameras < 1) or most_people < 1 or not 0 <= wait_ms < float("inf"):
            raise InputError(
                f"a batcher of {cameras} cameras, {most_people} people and {wait_ms:g} ms",
                cure="Give at least one camera and one person, and milliseconds from 0 on.",
            )
        self._estimator = estimator
        self._cameras = cameras
        self._most_people, self._wait_s = most_people, wait_ms / 1e3
        self.skeleton: Skeleton = estimator.skeleton
        self.frames = self.batches = 0
        self._changed = threading.Condition()
        self._waiting: deque[_Asked] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def __call__(self, frame: NDArray[np.uint8], boxes: ArrayLike | None) -> Poses:
        """The joints of the people of one camera's frame; arguments, result and errors are `PoseEstimator`'s."""
        try:
            people = np.asarray(() if boxes is None else boxes, np.float64)
        except (TypeError, ValueError):
            return self._estimator(frame, boxes)  # which says what is wrong with them
        if people.ndim == 0 or len(people) == 0:
            return self._estimator(frame, boxes)
        asked = _Asked(frame, people)
        with self._changed:
            if self._closed:
                raise InputError("this MicroBatcher is closed", cure="close() belongs behind the last call.")
            self._waiting.append(asked)
            self._changed.notify_all()
        asked.done.wait()
        if asked.fault is not None:
            raise asked.fault
        assert asked.poses is not None
        return asked.poses

    def timed(self, frame: NDArray[np.uint8], boxes: ArrayLike | None) -> tuple[Poses, StageTimes]:
        """The same, with its time, waiting for others included, as the network's: the stages of a batch are shared."""
        started = perf_counter()
        poses = self(frame, boxes)
        return poses, StageTimes(0.0, (perf_counter() - started) * 1e3, 0.0)

    def close(self) -> None:
        """Finish what was asked for. Closing twice is allowed; a call afterwards is an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> MicroBatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next():
            self._answer(batch)
            for asked in batch:
                asked.done.set()
            del batch

    def _next(self) -> list[_Asked]:
        """The next batch, in the order of asking; empty when it is over."""
        with self._changed:
            # From when the engine is free: two cameras that take turns would never meet otherwise.
            free = monotonic()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._waiting:
                ends = max(free, self._waiting[0].asked) + self._wait_s
                self._changed.wait_for(self._is_enough, ends - monotonic())
            batch: list[_Asked] = []
            people = 0
            while self._waiting and (not batch or people + len(self._waiting[0].boxes) <= self._most_people):
                batch.append(self._waiting.popleft())
                people += len(batch[-1].boxes)
            return batch

    def _is_enough(self) -> bool:
        all_here = self._cameras is not None and len(self._waiting) >= self._cameras
        return self._closed or all_here or sum(len(each.boxes) for each in self._waiting) >= self._most_people

    def _answer(self, batch: list[_Asked]) -> None:
        self.frames += len(batch)
        self.batches += 1
        try:
            answers = self._estimator.batch([(each.frame, each.boxes) for each in batch])
        except FrameError:
            # One camera's bad frame is no other camera's fault.
            for each in batch:
                self._answer_alone(each)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of each who asked
            for each in batch:
                each.fault = error
        else:
            for each, poses in zip(batch, answers, strict=True):
                each.poses = poses

    def _answer_alone(self, asked: _Asked) -> None:
        try:
            asked.poses = self._estimator(asked.frame, asked.boxes)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of who asked
            asked.fault = error
