"""What goes wrong with a plan, its libraries or its GPU is told once, and nothing leaks; over the stand-in."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.artefact import manifest_path
from amfac_edge.errors import AmfacError, MachineError, ModelFileError
from amfac_edge.sessions import PoseSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

CUDA = ("cuda-python", "cuda-python before 12.6", "pycuda")
CARD, INTEGRATED = {"integrated": False}, {"integrated": True}
both_kinds = pytest.mark.parametrize("board", [CARD, INTEGRATED], indirect=True, ids=["card", "integrated"])
each_library = pytest.mark.parametrize("cuda", CUDA)


def _crops(board: Board, people: int) -> NDArray[np.uint8]:
    return np.stack([board.markers.painted_crop(board.markers.spread_places(seed)) for seed in range(people)])


def _finds_joints(board: Board, session: PoseSession, people: int) -> None:
    places = [board.markers.spread_places(seed) for seed in range(people)]
    np.testing.assert_array_equal(session.run(_crops(board, people))[0], places)


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


@each_library
def test_the_other_sessions_of_a_lost_gpu_close_quietly(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    plan = board.marker_plan()
    one, other = open_session(plan), open_session(plan)
    board.gpu.fail("cuEventRecord" if cuda == "pycuda" else "cudaEventRecord", "cudaErrorLaunchFailure")
    with pytest.raises(MachineError, match="cudaErrorLaunchFailure"):
        one.run(_crops(board, 1))
    other.close()
    one.close()
    board.gpu.objects.clear()


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
        _finds_joints(board, session, 1)


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


@both_kinds
@pytest.mark.parametrize("cuda", ["cuda-python", "pycuda"])
def test_a_call_that_fails_once_leaves_the_session_sound(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    with open_session(board.marker_plan()) as session:
        board.gpu.calls.clear()
        session.run(_crops(board, 5))
        calls = dict(board.gpu.calls)
        assert sum(calls.values()) > 7
        for call, count in calls.items():
            for number in range(1, count + 1 if "Pop" not in call else 0):
                board.gpu.fail(call, "cudaErrorInvalidValue", at=number)
                with pytest.raises(AmfacError, match="cudaErrorInvalidValue"):
                    session.run(_crops(board, 5))
                _finds_joints(board, session, 6)
        assert board.gpu.stack == []


def test_a_second_program_that_took_the_memory_is_survived(board: Board) -> None:
    plan = board.marker_plan("1-12")
    with open_session(plan) as session:
        board.gpu.fail("createExecutionContext", "cudaErrorMemoryAllocation")
        with pytest.raises(MachineError, match=r"m1-12\.plan: the GPU's memory is used up"):
            session.run(_crops(board, 11))
        _finds_joints(board, session, 11)


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
        _finds_joints(board, session, 2)
    with open_session(board.marker_plan()):
        pass
    assert board.library.host_code == [True, False]


def test_the_lean_runtime_does_where_it_can(board: Board) -> None:
    board.install_tensorrt(lean=True)
    with open_session(board.marker_plan(host_code=True), host_code=True) as session:
        assert session.settings.engine == "tensorrt_lean 10.3.0"
        _finds_joints(board, session, 2)
    with pytest.raises(ModelFileError, match="lean runtime, all that is here, runs version-compatible plans"):
        open_session(board.marker_plan())


def test_harmless_remarks_become_notes(board: Board) -> None:
    line = "Using an engine plan file across different models of devices is not recommended and is likely to affect"
    board.library.remarks.append(line)
    with open_session(board.marker_plan()) as session:
        (note,) = session.settings.notes
    assert note.startswith("the plan was timed on another model of this GPU's architecture")


def test_a_gpu_that_is_lost_while_capturing_is_no_reason_to_go_on(board: Board) -> None:
    board.gpu.fail("cudaGraphInstantiate", "cudaErrorIllegalAddress")
    with pytest.raises(MachineError, match="cudaGraphInstantiate failed with cudaErrorIllegalAddress"):
        open_session(board.marker_plan())


def test_a_dynamic_input_without_a_profile_is_refused(board: Board) -> None:
    plan = board.marker_plan(profile={"crops": []})
    with pytest.raises(ModelFileError, match="it has no profile for crops"):
        open_session(plan)


def test_a_profile_that_serves_one_context_is_told(board: Board) -> None:
    board.install_tensorrt("8.6.1")
    with pytest.raises(ModelFileError, match=r"profile serves a single execution context.*\n  Build the plan again"):
        open_session(board.marker_plan(version="8.6.1", shared=False))
    # With a batch of fixed size there is one context, and nothing to share.
    with open_session(board.marker_plan("3", version="8.6.1", shared=False)) as session:
        _finds_joints(board, session, 4)


def test_shapes_that_tensorrt_cannot_infer_are_told(board: Board) -> None:
    runtime = sys.modules["tests.sessions.fake_tensorrt_runtime"]

    def refused(_: object) -> list[str]:
        raise RuntimeError("shape inference failed: the moon is in the wrong place")

    board.monkeypatch.setattr(runtime._Context, "infer_shapes", refused)
    with pytest.raises(ModelFileError, match=r"TensorRT says: shape inference failed: the moon"):
        open_session(board.marker_plan())


def test_outputs_larger_than_their_memory_are_refused(board: Board) -> None:
    runtime = sys.modules["tests.sessions.fake_tensorrt_runtime"]
    board.monkeypatch.setattr(runtime._Context, "get_tensor_shape", lambda *_: (5, 17, 2))
    with pytest.raises(ModelFileError, match=r"gives keypoints the shape \(5, 17, 2\), more than its manifest"):
        open_session(board.marker_plan())
