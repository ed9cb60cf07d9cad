"""The session's whole code over a stand-in that holds the libraries' contract; its numbers are the CPU session's."""

from __future__ import annotations

import dataclasses
import gc
import json
import runpy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.artefact import RTX, manifest_path
from amfac_edge.cli.run import main as run_main
from amfac_edge.errors import AmfacError, InputError, MachineError, MissingExtraError, ModelFileError
from amfac_edge.sessions import FrameSession, PoseSession, open_session
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


# ------------------------------------------------------------------------------------------------------------- faults


@each_library
@pytest.mark.parametrize(
    ("name", "words"),
    [("cudaErrorIllegalAddress", "an illegal memory access"), ("cudaErrorLaunchFailure", "unspecified launch failure")],
)
def test_a_lost_gpu_is_told_once_and_then_remembered(board: Board, cuda: str, name: str, words: str) -> None:
    board.install_cuda(cuda)
    crops = _crops(board, 1)
    with open_session(board.marker_plan()) as session:
        call = "cuEventRecord" if cuda == "pycuda" else "cudaEventRecord"
        board.gpu.fail(call, name)
        with pytest.raises(MachineError, match=rf"{call} failed with {name} \({words}.*\)\n  Start this process anew"):
            session.run(crops)
        for _ in range(2):
            with pytest.raises(MachineError, match=rf"m1-4\.plan: this session is dead since CUDA: {call} failed with"):
                session.run(crops)


def test_a_gpu_that_is_lost_inside_of_tensorrt_is_told_by_cuda(board: Board) -> None:
    board.install_cuda("pycuda")
    with open_session(board.marker_plan()) as session:
        board.gpu.fail("enqueueV3", "cudaErrorIllegalAddress")
        with pytest.raises(MachineError, match="cudaErrorIllegalAddress"):
            session.run(_crops(board, 1))


def test_what_tensorrt_refuses_is_passed_on_and_it_goes_on(board: Board) -> None:
    board.install_cuda("pycuda")
    with open_session(board.marker_plan()) as session:
        board.gpu.fail("enqueueV3", "cudaErrorInvalidValue")
        with pytest.raises(ModelFileError, match=r"m1-4\.plan: TensorRT says: .*enqueueV3.*cudaErrorInvalidValue"):
            session.run(_crops(board, 1))
        _same_as_cpu(board, session, "1-4", 1)


@pytest.mark.parametrize("board", [{"memory": 20_000}], indirect=True)
def test_memory_that_is_used_up_is_told(board: Board) -> None:
    with pytest.raises(MachineError, match=r"failed with cudaErrorMemoryAllocation \(out of memory\)\n  Close other"):
        open_session(board.marker_plan())


@both_kinds
@pytest.mark.parametrize(("cuda", "rtx"), [("cuda-python", False), ("pycuda", False), ("cuda-python", True)])
def test_nothing_leaks_wherever_loading_fails(board: Board, cuda: str, rtx: bool) -> None:  # noqa: FBT001 - a parameter
    board.install_cuda(cuda)
    version = "1.7.1.116" if rtx else "10.3.0"
    board.install_tensorrt(version, rtx=rtx)
    plan = board.marker_plan("1-2", rtx=rtx, version=version)
    open_session(plan).close()
    calls = dict(board.gpu.calls)
    failed = 0
    for call, count in calls.items():
        if any(word in call for word in ("Destroy", "Free", "Pop", "Release", "GraphLaunch")):
            continue  # what gives back, or isn't called while loading
        for number in range(1, count + 1):
            board.gpu.fail(call, "cudaErrorInvalidValue", at=number)
            try:
                session = open_session(plan)
            except AmfacError:
                failed += 1
            else:  # it goes on without graphs, or it is the call of closing
                board.gpu.faults.clear()
                session.close()
            assert board.alive() == {}, (call, number)
    assert failed > 20


def test_a_second_program_that_took_the_memory_is_survived(board: Board) -> None:
    plan = board.marker_plan("1-12")
    with open_session(plan) as session:
        board.gpu.fail("createExecutionContext", "cudaErrorMemoryAllocation")
        with pytest.raises(MachineError, match=r"m1-12\.plan: the GPU's memory is used up"):
            session.run(_crops(board, 11))
        _same_as_cpu(board, session, "1-12", 11)


# ----------------------------------------------------------------------------------------------------------- bad plans


def test_a_plan_of_another_version_is_refused_before_and_after(board: Board) -> None:
    plan = board.marker_plan(version="10.1.0")
    with pytest.raises(MachineError, match=r"expected TensorRT 10\.1\.0, found TensorRT 10\.3\.0"):
        open_session(plan)
    assert board.gpu.calls["createInferRuntime"] == 0
    # A machine that doesn't tell its version: TensorRT says it, by None.
    board.host = dataclasses.replace(board.host, libraries={"tensorrt": ""})
    with pytest.raises(MachineError, match=r"of another TensorRT than the one here \(10\.3\.0 and 10\.1\.0\)"):
        open_session(plan)


def test_a_plan_that_is_damaged_behind_its_head_is_refused(board: Board) -> None:
    plan = board.marker_plan()
    content = plan.read_bytes().replace(b"FAKE PLAN", b"BAKE PLAN")
    plan.write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256"):
        open_session(plan)


def test_a_plan_without_its_manifest_is_refused(board: Board) -> None:
    plan = board.marker_plan()
    manifest_path(plan).unlink()
    with pytest.raises(ModelFileError, match=r"m1-4\.plan: no m1-4\.plan\.json beside it"):
        open_session(plan)


@pytest.mark.parametrize(("name", "content"), [("m.rtx.plan", b""), ("yolo.engine", b"\2\0\0\0{}ftrt")])
def test_what_is_no_plan_is_refused(board: Board, name: str, content: bytes) -> None:
    (board.folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"{name}: it can't be loaded here: kind: expected a plan"):
        open_session(board.folder / name)


def test_tensors_that_the_manifest_does_not_know_are_refused(board: Board) -> None:
    crowd = board.markers.write_artefact(board.folder / "c.onnx", skeleton="crowdpose-14")
    plan, other = board.plan_of(crowd), board.marker_plan("1")
    text = manifest_path(plan).read_text().replace("crowdpose-14", "coco-17")
    manifest_path(plan).write_text(text)
    with pytest.raises(ModelFileError, match=r"keypoints is float32 \(1, 14, 2\), not float32 \(1, 17, 2\)"):
        open_session(plan)
    open_session(other).close()


def test_a_profile_that_is_smaller_than_promised_is_refused(board: Board) -> None:
    shape = [board.markers.HEIGHT, board.markers.WIDTH, 3]
    plan = board.marker_plan(profile={"crops": [[1, *shape], [2, *shape], [2, *shape]]})
    with pytest.raises(ModelFileError, match="its profile takes 1 to 2 people, its manifest says 1-4"):
        open_session(plan)


def test_code_of_a_plan_runs_only_if_its_maker_is_trusted(board: Board) -> None:
    plan = board.marker_plan(host_code=True)
    with pytest.raises(ModelFileError, match=r"host code: .* found not allowed"):
        open_session(plan)
    with open_session(plan, host_code=True) as session:
        _same_as_cpu(board, session, "1-4", 2)
    with open_session(board.marker_plan()):
        pass
    assert board.library.host_code == [True, False]


def test_the_lean_runtime_does_where_it_can(board: Board) -> None:
    board.install_tensorrt(lean=True)
    with open_session(board.marker_plan(host_code=True), host_code=True) as session:
        assert session.settings.engine == "tensorrt_lean 10.3.0"
        _same_as_cpu(board, session, "1-4", 2)
    with pytest.raises(ModelFileError, match="lean runtime, all that is here, runs version-compatible plans"):
        open_session(board.marker_plan())


def test_harmless_remarks_become_notes(board: Board) -> None:
    line = "Using an engine plan file across different models of devices is not recommended and is likely to affect"
    board.library.remarks.append(line)
    with open_session(board.marker_plan()) as session:
        (note,) = session.settings.notes
    assert note.startswith("the plan was timed on another model of this GPU's architecture")


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
    assert cache.name.endswith(".cuda-12.6.cache")
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


# -------------------------------------------------------------------------------------------------- what isn't there


@pytest.mark.parametrize("flavour", ["tensorrt", RTX])
def test_a_missing_library_is_named(board: Board, flavour: str) -> None:
    rtx = flavour == RTX
    version = "1.7.1.116" if rtx else "10.3.0"
    board.install_tensorrt(version, rtx=rtx)
    plan = board.marker_plan(rtx=rtx, version=version)
    board.monkeypatch.setitem(sys.modules, flavour.replace("-", "_"), None)
    with pytest.raises(MachineError, match="running a plan needs"):
        open_session(plan)


def test_without_a_library_of_cuda_the_extras_are_named(board: Board) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart", "pycuda"):
        board.monkeypatch.setitem(sys.modules, name, None)
    plan = board.marker_plan()
    with pytest.raises(MissingExtraError, match=r"there is none\n  pip install \"amfac-edge\[cuda\]\".*jetson"):
        open_session(plan)
    with pytest.raises(MissingExtraError, match=r"cuda-python, which is not installed"):
        open_session(plan, cuda="cuda-python")
    with pytest.raises(
        MissingExtraError, match=r"pycuda, which is not installed\n  pip install \"amfac-edge\[pycuda\]"
    ):
        open_session(plan, cuda="pycuda")


def test_libraries_and_contexts_that_do_not_go_together_are_refused(board: Board) -> None:
    plan = board.marker_plan()
    with pytest.raises(InputError, match='cuda="cupy" is no library of CUDA that is known'):
        open_session(plan, cuda="cupy")
    with pytest.raises(InputError, match="a context of your own is pycuda's"):
        open_session(plan, cuda="cuda-python", context=object())


@each_library
def test_a_driver_that_does_not_work_is_told(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    board.gpu.fail("cuInit", "cudaErrorNoDevice")
    with pytest.raises(MachineError, match=r"cuInit failed with cudaErrorNoDevice .*\n  amfac-doctor"):
        open_session(board.marker_plan())


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


@pytest.mark.parametrize("cuda", ["cuda-python", "pycuda"])
def test_amfac_run_takes_plans(board: Board, capsys: pytest.CaptureFixture[str], cuda: str) -> None:
    board.install_cuda(cuda)
    places = board.markers.spread_places()
    picture = board.folder / "picture.png"
    cv2.imwrite(str(picture), board.markers.painted_crop(places))
    plan = board.marker_plan(host_code=True)
    words = ["--engine", str(plan), "--source", str(picture), "--json", "--cuda", cuda]
    assert run_main(words) == 2
    assert "allow it: --allow-host-code" in capsys.readouterr().err
    assert run_main([*words, "--allow-host-code"]) == 0
    (person,) = json.loads(capsys.readouterr().out)["people"]
    assert np.shape(person["keypoints"]) == (17, 3)
