"""The parts of a run by the GPU's clock, over the stand-in: what is marked where, and that nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import InputError
from amfac_edge.performance import Limits, measure_artefact
from amfac_edge.performance.measuring import TRTEXEC_FIELDS, still_frame
from amfac_edge.sessions import TimedSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

CUDA = ("cuda-python", "cuda-python before 12.6", "pycuda")
each_library = pytest.mark.parametrize("cuda", CUDA)


def crops(board: Board, people: int) -> NDArray[np.uint8]:
    places = [board.markers.spread_places(seed) for seed in range(people)]
    return np.stack([board.markers.painted_crop(one) for one in places])


@each_library
@pytest.mark.parametrize(
    "board", [{"integrated": False}, {"integrated": True}], indirect=True, ids=["card", "integrated"]
)
def test_a_run_is_told_in_its_parts(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    with open_session(board.marker_plan()) as session:
        assert isinstance(session, TimedSession)
        before = session.run(crops(board, 2))
        times = session.run_timed(crops(board, 2))
        # The stand-in lets a quarter of a millisecond pass from each moment to the next.
        assert (times.h2d_ms, times.compute_ms, times.d2h_ms) == (0.25, 0.25, 0.25)
        assert times.latency_ms == 0.75
        assert times.enqueue_ms > 0
        # What is run afterwards is what it was.
        for found, expected in zip(session.run(crops(board, 2)), before, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert not any(board.alive().values())


def test_the_engine_alone_is_in_the_timed_graph(board: Board) -> None:
    with open_session(board.marker_plan()) as session:
        assert isinstance(session, TimedSession)
        people = crops(board, 4)
        session.run_timed(people)
        captured, launched = board.gpu.calls["cudaStreamEndCapture"], board.gpu.calls["cudaGraphLaunch"]
        copies = board.gpu.calls["cudaMemcpyAsync"]
        session.run_timed(people)
        # The same batch size is not captured once more; its copies are beside the graph: in, in again, two out.
        assert board.gpu.calls["cudaStreamEndCapture"] == captured
        assert board.gpu.calls["cudaGraphLaunch"] == launched + 1
        assert board.gpu.calls["cudaMemcpyAsync"] == copies + 4
        session.run_timed(people[:1])
        assert board.gpu.calls["cudaStreamEndCapture"] == captured + 1
    assert not any(board.alive().values())


def test_wrong_crops_and_a_closed_session(board: Board) -> None:
    session = open_session(board.marker_plan())
    assert isinstance(session, TimedSession)
    with pytest.raises(InputError, match="the crops are float64"):
        session.run_timed(np.zeros((1, 64, 48, 3)))  # type: ignore[arg-type]
    session.close()
    with pytest.raises(InputError, match="this session is closed"):
        session.run_timed(crops(board, 1))


def test_the_bench_has_trtexecs_fields_of_a_plan(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = {"load_ms": 1.0, "first_ms": 1.0}
    monkeypatch.setattr("amfac_edge.performance.measuring._cold_start_of", lambda *_: cold)
    limits = Limits(iterations=3, warmup=1, pauses=0)
    found = measure_artefact(board.marker_plan(), frame=still_frame(240, 320), people=2, limits=limits)
    assert tuple(found.series)[-5:] == TRTEXEC_FIELDS
    parts = [found.series[name].samples_ms for name in TRTEXEC_FIELDS]
    for latency, _, *rest in zip(*parts, strict=True):
        assert latency == pytest.approx(sum(rest))
