"""Work that goes on behind the caller: while one frame is in the network, the next one is already being cut.

One thread does what was submitted, in its order, whatever the engine; so this means the same for all of them. Waiting
for an engine leaves Python to the caller: ONNX Runtime, CUDA and OpenCV all work without its lock.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEPTH", "Ahead", "Ticket"]

DEPTH = 2
"""How much may be under way at once: one being computed, one that waits."""

_T = TypeVar("_T")


class Ticket(Generic[_T]):
    """What was submitted, and its result when it is there."""

    def __init__(self, future: Future[_T]) -> None:
        self._future = future

    @classmethod
    def of(cls, value: _T) -> Ticket[_T]:
        """A ticket for what is there already."""
        future: Future[_T] = Future()
        future.set_result(value)
        return cls(future)

    @property
    def is_done(self) -> bool:
        """Whether `result` will not have to wait."""
        return self._future.done()

    def result(self) -> _T:
        """Wait for the result, or raise what went wrong; the same each time it is called."""
        return self._future.result()


class Ahead:
    """At most `DEPTH` jobs under way; any thread may submit."""

    def __init__(self) -> None:
        # No thread is started before the first job.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="amfac-ahead", initializer=self._begun)
        self._thread: int | None = None
        self._slots: SimpleQueue[int] = SimpleQueue()
        for slot in range(DEPTH):
            self._slots.put(slot)

    def submit(self, prepare: Callable[[int], Callable[[], _T]]) -> Ticket[_T]:
        """Prepare a job here and now, and let it be done behind; waits while `DEPTH` of them are under way.

        Args:
            prepare: called with the number of a slot, 0 to DEPTH - 1, which is this job's alone until it is done: what
                it needs in memory may lie in a buffer of that slot. Gives the job.

        Raises:
            InputError: it was closed.
        """
        slot = self._slots.get()
        try:
            job = prepare(slot)
            try:
                future = self._worker.submit(job)
            except RuntimeError as error:
                raise InputError("nothing can be submitted any more: it is closed", cure="Open it again.") from error
        except BaseException:
            self._slots.put(slot)
            raise
        future.add_done_callback(lambda _: self._slots.put(slot))
        return Ticket(future)

    def close(self) -> None:
        """Wait for what was submitted; tickets keep their results."""
        # The last job may be what lets go of everything, in the very thread that would be waited for.
        self._worker.shutdown(wait=self._thread != threading.get_ident())

    def _begun(self) -> None:
        self._thread = threading.get_ident()
