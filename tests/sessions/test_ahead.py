from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import InputError
from amfac_edge.sessions.ahead import DEPTH, Ahead, Ticket
from amfac_edge.sessions.onnxruntime_session import OnnxRuntimeSession
from amfac_edge.sessions.tensorrt_session import TensorRtSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sessions.conftest import Board


def _after(event: threading.Event, value: int) -> Callable[[int], Callable[[], int]]:
    """A job that ends with `value` when `event` has come."""

    def prepare(slot: int) -> Callable[[], int]:
        def job() -> int:
            assert event.wait(10)
            return value * 10 + slot

        return job

    return prepare


def test_results_come_in_order_and_stay() -> None:
    ahead, free = Ahead(), threading.Event()
    tickets = [ahead.submit(_after(free, value)) for value in range(DEPTH)]
    assert not any(ticket.is_done for ticket in tickets)
    free.set()
    assert [ticket.result() for ticket in tickets] == [0, 11]
    ahead.close()
    assert [ticket.result() for ticket in tickets] == [0, 11]
    assert tickets[0].is_done


def test_the_third_waits_for_the_first() -> None:
    ahead, first, others = Ahead(), threading.Event(), threading.Event()
    ahead.submit(_after(first, 0))
    ahead.submit(_after(others, 1))
    prepared = threading.Event()

    def prepare(slot: int) -> Callable[[], int]:
        prepared.set()
        assert slot == 0  # the first one's, which is done
        return lambda: 2

    third: list[Ticket[int]] = []
    caller = threading.Thread(target=lambda: third.append(ahead.submit(prepare)))
    caller.start()
    assert not prepared.wait(0.05)
    first.set()
    assert prepared.wait(10)
    others.set()
    caller.join()
    assert third[0].result() == 2
    ahead.close()


def test_what_goes_wrong_is_the_tickets_and_the_next_one_goes_on() -> None:
    ahead = Ahead()

    def fails() -> int:
        raise ValueError("as it should")

    ticket = ahead.submit(lambda _: fails)
    for _ in range(2):
        with pytest.raises(ValueError, match="as it should"):
            ticket.result()

    def cannot_prepare(slot: int) -> Callable[[], int]:
        raise ValueError(slot)

    for _ in range(2 * DEPTH):
        with pytest.raises(ValueError, match=r"[01]"):
            ahead.submit(cannot_prepare)
    assert ahead.submit(lambda _: lambda: 5).result() == 5
    ahead.close()


def test_closing_waits_and_then_nothing_is_taken() -> None:
    ahead, free = Ahead(), threading.Event()
    ticket = ahead.submit(_after(free, 3))
    threading.Timer(0.05, free.set).start()
    ahead.close()
    ahead.close()
    assert ticket.is_done
    for _ in range(2 * DEPTH):
        with pytest.raises(InputError, match=r"nothing can be submitted any more: it is closed\n  Open it again"):
            ahead.submit(lambda _: lambda: 1)


def test_a_ticket_for_what_is_there() -> None:
    ticket = Ticket.of(7)
    assert ticket.is_done
    assert ticket.result() == 7


@pytest.mark.parametrize("kind", ["plan", "onnx"])
def test_sessions_take_crops_ahead(board: Board, kind: str) -> None:
    plan = board.marker_plan()
    session = TensorRtSession(plan) if kind == "plan" else OnnxRuntimeSession(board.folder / "m1-4.onnx")
    places = [board.markers.spread_places(seed) for seed in range(6)]
    crops = [board.markers.painted_crop(one)[None] for one in places]
    with session:
        tickets = [session.submit(one) for one in crops]
        np.testing.assert_array_equal([ticket.result()[0][0] for ticket in tickets], places)
        with pytest.raises(InputError, match="the crops are uint8"):
            session.submit(crops[0][0]).result()
        last = session.submit(crops[0])
    assert last.result()[0].shape == (1, 17, 2)
    with pytest.raises(InputError, match="closed"):
        session.submit(crops[0])


def test_a_session_may_be_forgotten_while_it_works(board: Board) -> None:
    session = TensorRtSession(board.marker_plan())
    crops = board.markers.painted_crop(board.markers.spread_places())[None]
    with session._lock:  # the job waits until nobody else knows the session
        ticket = session.submit(crops)
        known = weakref.ref(session)
        lock = session._lock
        lock.release()
        del session
        lock.acquire()
    assert ticket.result()[0].shape == (1, 17, 2)
    for _ in range(100):
        gc.collect()
        if known() is None:
            break
        threading.Event().wait(0.02)
    assert known() is None
