"""The session's whole code over a stand-in that holds the libraries' contract; its numbers are the CPU session's."""

from __future__ import annotations

import gc
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.errors import InputError
from amfac_edge.sessions import FrameSession, PoseSession, cuda_python, open_session
from amfac_edge.sessions.tensorrt_session import TensorRtSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

CUDA = ("cuda-python", "cuda-python before 12.6", "pycuda")
VERSIONS = ("8.6.1", "10.3.0", "11.4.0.106")
CARD, INTEGRATED = {"integrated": False}, {"integrated": True}
both_kinds = pytest.mark.parametrize("board", [CARD, INTEGRATED], indirect=True, ids=["card", "integrated"])
each_library = pytest.mark.parametrize("cuda", CUDA)


def _crops(board: Board, people: int) -> NDArray[np.uint8]:
    places = [board.markers.spread_places(seed) for seed in range(people)]
    return np.stack([board.markers.painted_crop(one, green=50 + index) for index, one in enumerate(places)])


def _same_as_cpu(board: Board, session: PoseSession, batch: str, *numbers: int) -> None:
    crops = _crops(board, max(numbers))
    with open_session(board.folder / f"m{batch}.onnx") as cpu:
        for people in numbers:
            for found, expected in zip(session.run(crops[:people]), cpu.run(crops[:people]), strict=True):
                np.testing.assert_array_equal(found, expected)


@both_kinds
@each_library
@pytest.mark.parametrize("version", VERSIONS)
def test_the_numbers_are_those_of_the_cpu(board: Board, cuda: str, version: str) -> None:
    board.install_cuda(cuda)
    board.install_tensorrt(version)
    with open_session(board.marker_plan(version=version)) as session:
        _same_as_cpu(board, session, "1-4", 1, 2, 3, 4, 5, 9, 1, 4)


@each_library
@pytest.mark.parametrize("batch", ["1", "3", "2-3", "1-12"])
def test_any_number_of_people_goes_through_any_batch(board: Board, cuda: str, batch: str) -> None:
    board.install_cuda(cuda)
    with open_session(board.marker_plan(batch)) as session:
        _same_as_cpu(board, session, batch, 1, 2, 3, 5, 7, 12, 13)


def test_what_a_session_is_like(board: Board) -> None:
    with open_session(board.marker_plan()) as session:
        assert isinstance(session, FrameSession)
        assert session.manifest.target == "rtx-3060"
        settings = session.settings
    assert (settings.engine, settings.threads, settings.spinning, settings.notes) == ("tensorrt 10.3.0", 1, False, ())
    assert settings.provider == "NVIDIA GeForce RTX 3060 by cuda-python 12.9.2 (CUDA graphs)"


def test_bindings_that_hold_pythons_lock_are_told(board: Board) -> None:
    board.install_cuda("cuda-python before 12.6")
    with open_session(board.marker_plan()) as session:
        (note,) = session.settings.notes
    assert note.startswith(
        "cuda-python 12.3.0 stops all threads of Python while it waits for the GPU; 12.9.1 and later"
    )


@pytest.mark.parametrize(
    ("version", "holds"),
    [
        ("12.6.2.post1", True),
        ("12.9.0", True),
        ("12.9", True),
        ("12.9.1", False),
        ("13.0.0", False),
        ("unknown", False),
    ],
)
def test_which_bindings_hold_pythons_lock(version: str, holds: bool) -> None:  # noqa: FBT001 - a parameter
    assert cuda_python._holds_python(version) is holds


# ---------------------------------------------------------------------------------------------- graphs, copies, waits


def test_each_batch_size_is_captured_while_loading(board: Board) -> None:
    with open_session(board.marker_plan()) as session:
        enqueued, captured = board.gpu.calls["enqueueV3"], board.gpu.calls["cudaStreamEndCapture"]
        assert (enqueued, captured) == (8, 4)  # each once before it is captured, and once to be
        session.run(_crops(board, 9))
        assert board.gpu.calls["enqueueV3"] == enqueued
        assert board.gpu.calls["cudaGraphLaunch"] == 3


def test_sizes_beyond_the_eighth_are_captured_when_they_come(board: Board) -> None:
    with open_session(board.marker_plan("1-12")) as session:
        assert board.gpu.calls["cudaStreamEndCapture"] == 8
        _same_as_cpu(board, session, "1-12", 10, 10)
        assert board.gpu.calls["cudaStreamEndCapture"] == 9


def test_what_was_not_used_for_long_makes_room(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amfac_edge.sessions.tensorrt_runner._MOST_PREPARED", 2)
    with open_session(board.marker_plan()) as session:
        assert board.alive()["graphs"] == 2
        _same_as_cpu(board, session, "1-4", 1, 2, 3, 4, 3, 4)
        assert board.alive()["graphs"] == 2


@pytest.mark.parametrize(
    "call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "enqueueV3"]
)
def test_where_nothing_can_be_captured_it_runs_plainly(board: Board, call: str) -> None:
    board.gpu.fail(call, "cudaErrorStreamCaptureUnsupported", at=2 if call == "enqueueV3" else 1)
    with open_session(board.marker_plan()) as session:
        assert session.settings.notes[0].startswith("no CUDA graphs, which would save time: ")
        assert "cudaErrorStreamCapture" in session.settings.notes[0]
        assert "no CUDA graphs" in session.settings.provider
        _same_as_cpu(board, session, "1-4", 1, 2, 5)
    assert board.gpu.calls["cudaGraphLaunch"] == 0


def test_pycuda_has_no_graphs(board: Board) -> None:
    board.install_cuda("pycuda")
    with open_session(board.marker_plan()) as session:
        assert session.settings.provider == "NVIDIA GeForce RTX 3060 by pycuda 2026.1 (no CUDA graphs)"
        assert session.settings.notes == ()


def test_a_frame_asks_no_more_of_cuda_than_it_must(board: Board) -> None:
    with open_session(board.marker_plan()) as session:
        board.gpu.calls.clear()
        session.run(_crops(board, 4))
    freed = {"cudaGraphExecDestroy", "cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy"}
    assert {call: count for call, count in board.gpu.calls.items() if call not in freed} == {
        "cuCtxPushCurrent": 1 + 1,  # to close it
        "cudaMemcpyAsync": 1,  # those of the outputs are in the graph
        "cudaGraphLaunch": 1,
        "cudaEventRecord": 1,
        "cudaEventSynchronize": 1,
        "cuCtxPopCurrent": 1 + 1,
    }


def test_a_card_is_given_its_bytes_and_no_more(board: Board) -> None:
    with open_session(board.marker_plan()) as session:
        board.gpu.copies.clear()
        session.run(_crops(board, 2))
    crop, joints = board.markers.HEIGHT * board.markers.WIDTH * 3, board.markers.JOINTS
    assert board.gpu.copies == [("in", 2 * crop), ("out", 2 * joints * 8), ("out", 2 * joints * 4)]


@each_library
@pytest.mark.parametrize("board", [INTEGRATED], indirect=True)
def test_nothing_is_copied_where_memory_is_shared(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    with open_session(board.marker_plan()) as session:
        _same_as_cpu(board, session, "1-4", 1, 4)
        assert "zero-copy" in session.settings.provider
    assert board.gpu.copies == []


@each_library
@pytest.mark.parametrize(("wait", "flags"), [("block", 3), ("spin", 2)])
def test_waiting_is_as_asked_for(board: Board, cuda: str, wait: str, flags: int) -> None:
    board.install_cuda(cuda)
    with open_session(board.marker_plan(), wait=wait) as session:
        assert session.settings.spinning == (wait == "spin")
        _same_as_cpu(board, session, "1-4", 1, 3)
    assert board.gpu.seen_event_flags == [flags]
    assert bool(board.gpu.calls["cudaEventQuery"] + board.gpu.calls["cuEventQuery"]) == (wait == "spin")


def test_another_way_to_wait_is_refused(board: Board) -> None:
    with pytest.raises(InputError, match='wait="sleep" is no way to wait'):
        open_session(board.marker_plan(), wait="sleep")


# --------------------------------------------------------------------------------------------------- threads, closing


@each_library
def test_threads_take_turns(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    crops = _crops(board, 24)
    with open_session(board.marker_plan()) as session, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda index: session.run(crops[index : index + 1])[0][0], range(24)))
        np.testing.assert_array_equal(found, session.run(crops)[0])


@each_library
def test_two_sessions_run_side_by_side(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    plan = board.marker_plan()
    with open_session(plan) as one, open_session(plan) as other:
        _same_as_cpu(board, one, "1-4", 3)
        one.close()
        _same_as_cpu(board, other, "1-4", 3)


def test_a_closed_session_says_so(board: Board) -> None:
    session = open_session(board.marker_plan())
    session.close()
    session.close()
    with pytest.raises(InputError, match=r"m1-4\.plan: this session is closed\n  Open the file again"):
        session.run(_crops(board, 1))


def test_who_closes_waits_for_who_runs(board: Board) -> None:
    session = open_session(board.marker_plan())
    assert isinstance(session, TensorRtSession)
    with session._lock:
        closing = threading.Thread(target=session.close)
        closing.start()
        assert board.alive()
    closing.join()
    assert not board.alive()


def test_a_session_that_was_forgotten_frees_everything(board: Board) -> None:
    session = open_session(board.marker_plan())
    assert board.alive()
    del session
    gc.collect()
    assert not board.alive()


@each_library
def test_a_thread_keeps_the_context_that_it_has(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    board.gpu.stack.append(0xBEEF)
    with open_session(board.marker_plan()) as session:
        _same_as_cpu(board, session, "1-4", 2)
    assert board.gpu.stack == [0xBEEF]
    board.gpu.stack.clear()


def test_a_context_of_the_callers_is_used_and_left(board: Board) -> None:
    board.install_cuda("pycuda")
    driver = sys.modules["pycuda.driver"]
    context = driver.Device(0).make_context()
    with open_session(board.marker_plan(), context=context) as session:
        assert {stream.context for stream in board.gpu.streams.values()} == {board.gpu.stack[-1]}
        _same_as_cpu(board, session, "1-4", 2)
    assert board.alive() == {"contexts": 1}
    driver.Context.pop()
    context.detach()


# -------------------------------------------------------------------------------------------------------- TensorRT-RTX


def _rtx(board: Board) -> TensorRtSession:
    board.install_tensorrt("1.7.1.116", rtx=True)
    session = open_session(board.marker_plan(rtx=True, version="1.7.1.116"))
    assert isinstance(session, TensorRtSession)
    return session


@both_kinds
@each_library
def test_a_plan_of_tensorrt_rtx_runs(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    with _rtx(board) as session:
        _same_as_cpu(board, session, "1-4", 1, 2, 3, 4, 5)
        assert session.settings.engine == "tensorrt_rtx 1.7.1.116"
        # It captures graphs itself, whatever library of CUDA is here.
        assert session.settings.provider.endswith("CUDA graphs)")
        assert "no CUDA graphs" not in session.settings.provider
    assert board.gpu.calls["cudaStreamBeginCapture"] == 0


def test_what_was_compiled_is_kept_for_the_next_session(board: Board) -> None:
    with _rtx(board):
        pass
    (cache,) = (board.folder / "cache" / "amfac-edge" / "rtx").iterdir()
    assert cache.name.endswith(".sm_86.cuda-12.6.cache")
    written = cache.read_bytes()
    compiled = sys.modules["tests.sessions.fake_tensorrt_runtime"]._RuntimeCache
    before = compiled.compiled
    with _rtx(board) as session:
        _same_as_cpu(board, session, "1-4", 4)
    assert compiled.compiled == before
    cache.write_bytes(written[:-1] + b"?")
    with _rtx(board):
        pass
    assert compiled.compiled == before + 4
    assert cache.read_bytes() == written


def test_a_cache_that_cannot_be_kept_costs_nothing_but_time(board: Board) -> None:
    (board.folder / "cache").write_text("in the way")
    with _rtx(board) as session:
        _same_as_cpu(board, session, "1-4", 4)


# ------------------------------------------------------------------------------------------------------------- example


def test_the_example_with_a_context_of_its_own_runs(
    board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board.install_cuda("pycuda")
    picture = board.folder / "picture.png"
    cv2.imwrite(str(picture), board.markers.painted_crop(board.markers.spread_places()))
    monkeypatch.setattr("sys.argv", ["own_pycuda_context.py", str(board.marker_plan()), str(picture)])
    example = Path(__file__).parents[2] / "examples" / "own_pycuda_context.py"
    runpy.run_path(str(example), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) == 17
    assert board.gpu.stack == []
