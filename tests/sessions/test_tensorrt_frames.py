"""Plans of whole frames, and arrays that lie on the GPU already, over the stand-in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError, MachineError
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import open_session
from amfac_edge.sessions.cuda import CudaDevice, capturing, open_device
from amfac_edge.sessions.gpu_arrays import ANY_STREAM
from amfac_edge.sessions.onnxruntime_session import OnnxRuntimeSession
from amfac_edge.sessions.tensorrt_session import TensorRtSession
from tests.sessions.fake_gpu import PRIMARY, compiled

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

both_kinds = pytest.mark.parametrize(
    "board", [{"integrated": False}, {"integrated": True}], indirect=True, ids=["card", "integrated"]
)
each_library = pytest.mark.parametrize("cuda", ["cuda-python", "pycuda"])


@pytest.fixture
def frame_plan(board: Board, made_frame_network: ModuleType) -> Path:
    return board.plan_of(made_frame_network.write_artefact(board.folder / "f.onnx", board.markers.RECIPE))


def _frame(height: int = 90, width: int = 120) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 200, (height, width, 3), np.uint8)


def _affines(people: int) -> NDArray[np.float32]:
    return np.random.default_rng(people).normal(size=(people, 2, 3)).astype(np.float32)


def _opened(path: Path) -> TensorRtSession | OnnxRuntimeSession:
    session = open_session(path)
    assert isinstance(session, (TensorRtSession, OnnxRuntimeSession))
    return session


@both_kinds
@each_library
def test_frames_give_the_numbers_of_the_cpu(board: Board, frame_plan: Path, cuda: str) -> None:
    board.install_cuda(cuda)
    with _opened(frame_plan) as session, _opened(board.folder / "f.onnx") as cpu:
        for people, size in ((1, (90, 120)), (4, (90, 120)), (9, (64, 64)), (2, (720, 1280)), (3, (90, 120))):
            frame, affines = _frame(*size), _affines(people)
            for found, expected in zip(session.run_frame(frame, affines), cpu.run_frame(frame, affines), strict=True):
                np.testing.assert_array_equal(found, expected)


def test_a_frame_is_copied_once_for_a_crowd(board: Board, frame_plan: Path) -> None:
    with _opened(frame_plan) as session:
        board.gpu.copies.clear()
        session.run_frame(_frame(), _affines(9))
    assert [copy for copy in board.gpu.copies if copy[0] == "in"] == [
        ("in", 90 * 120 * 3),
        ("in", 4 * 24),
        ("in", 4 * 24),
        ("in", 24),
    ]


def test_every_batch_of_the_frame_that_was_tuned_for_is_ready(board: Board, frame_plan: Path) -> None:
    with _opened(frame_plan) as session:
        ready = board.alive()["graphs"]
        for people in (1, 2, 3, 4):
            session.run_frame(_frame(1080, 1920), _affines(people))
            assert board.alive()["graphs"] == ready
        session.run_frame(_frame(720, 1280), _affines(2))
        assert board.alive()["graphs"] == ready + 1


@pytest.mark.parametrize("size", [(63, 120), (90, 3841), (2161, 64)])
def test_a_frame_outside_of_the_profile_is_refused(frame_plan: Path, size: tuple[int, int]) -> None:
    with (
        _opened(frame_plan) as session,
        pytest.raises(
            InputError, match=rf"a frame of {size[1]}x{size[0]} pixels, and the plan takes 64x64 to 3840x2160"
        ),
    ):
        session.run_frame(np.zeros((*size, 3), np.uint8), _affines(1))


def test_crops_and_frames_are_told_apart(board: Board, frame_plan: Path) -> None:
    with _opened(frame_plan) as session, pytest.raises(InputError, match=r"it takes run_frame.* and was given crops"):
        session.run(np.zeros((1, board.markers.HEIGHT, board.markers.WIDTH, 3), np.uint8))
    with _opened(board.marker_plan()) as session, pytest.raises(InputError, match=r"takes run.* was given a frame"):
        session.run_frame(_frame(), _affines(1))


# --------------------------------------------------------------------------------------------------- already on the GPU


class OnGpu:
    """An array of another library, in the memory of the board's GPU."""

    def __init__(self, board: Board, values: NDArray[Any], **changes: Any) -> None:  # noqa: ANN401
        board.gpu.stack.append(PRIMARY)
        self._block = board.gpu.allocate(values.nbytes)
        board.gpu.stack.pop()
        self._block.array[:] = values.reshape(-1).view(np.uint8)
        self.__cuda_array_interface__ = {
            "shape": values.shape,
            "typestr": values.dtype.str,
            "data": (self._block.address, False),
            "strides": None,
            "version": 3,
            **changes,
        }

    def free(self) -> None:
        self._block.live = False


@both_kinds
@each_library
def test_crops_on_the_gpu_make_no_way_to_the_host(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    crops = np.stack([board.markers.painted_crop(board.markers.spread_places(seed)) for seed in range(6)])
    with open_session(board.marker_plan()) as session, open_session(board.folder / "m1-4.onnx") as cpu:
        there = OnGpu(board, crops, strides=crops.strides)
        board.gpu.copies.clear()
        for found, expected in zip(session.run(there), cpu.run(crops), strict=True):  # type: ignore[arg-type]
            np.testing.assert_array_equal(found, expected)
        row = crops[0].nbytes
        assert [copy for copy in board.gpu.copies if copy[0] != "out"] == [("within", 4 * row), ("within", 2 * row)]
        there.free()


@each_library
def test_a_batch_of_fixed_size_takes_fewer_from_the_gpu(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    crops = np.stack([board.markers.painted_crop(board.markers.spread_places(seed)) for seed in range(2)])
    with open_session(board.marker_plan("3")) as session:
        there = OnGpu(board, crops)
        np.testing.assert_array_equal(session.run(there)[0], session.run(crops)[0])  # type: ignore[arg-type]
        there.free()


@both_kinds
@each_library
def test_a_frame_on_the_gpu_goes_through_the_estimator(board: Board, frame_plan: Path, cuda: str) -> None:
    board.install_cuda(cuda)
    frame, boxes = _frame(), [(10, 10, 60, 70), (30, 5, 80, 80)]
    with PoseEstimator(frame_plan) as estimator:
        there = OnGpu(board, frame)
        board.gpu.copies.clear()
        expected = estimator(frame, boxes)
        for poses in (estimator(there, boxes), estimator.submit(there, boxes).result()):
            np.testing.assert_array_equal(poses.keypoints, expected.keypoints)
        assert board.gpu.copies.count(("within", frame.nbytes)) == 2
        there.free()


@each_library
def test_work_on_the_other_stream_is_waited_for(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    crop = board.markers.painted_crop(board.markers.spread_places())[None]
    with open_session(board.marker_plan()) as session:
        board.gpu.stack.append(PRIMARY)
        stream = board.gpu.new_stream()
        there = OnGpu(board, np.zeros_like(crop), stream=stream)
        board.gpu.enqueue(stream, lambda: there._block.array.__setitem__(slice(None), crop.reshape(-1)))
        board.gpu.stack.pop()
        np.testing.assert_array_equal(session.run(there)[0], session.run(crop)[0])  # type: ignore[arg-type]
        there.free()
        del board.gpu.streams[stream]


@each_library
def test_an_array_that_cannot_name_its_stream_is_waited_for(board: Board, cuda: str) -> None:
    """Version 2 of the interface, PyTorch's, has no word for streams."""
    board.install_cuda(cuda)
    crop = board.markers.painted_crop(board.markers.spread_places())[None]
    with open_session(board.marker_plan()) as session:
        board.gpu.stack.append(PRIMARY)
        stream = board.gpu.new_stream()
        there = OnGpu(board, np.zeros_like(crop), version=2)
        board.gpu.enqueue(stream, lambda: there._block.array.__setitem__(slice(None), crop.reshape(-1)))
        board.gpu.stack.pop()
        np.testing.assert_array_equal(session.run(there)[0], session.run(crop)[0])  # type: ignore[arg-type]
        there.free()
        del board.gpu.streams[stream]


@each_library
def test_who_waits_for_all_streams_waits_for_a_capture_first(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    device = open_device()
    waiting = threading.Thread(target=lambda: _finished(device))
    with capturing:  # as CUDA demands: to wait meanwhile would break both
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def _finished(device: CudaDevice) -> None:
    with device.current():
        device.finish(ANY_STREAM)


@pytest.mark.parametrize(
    ("values", "changes", "problem"),
    [
        (np.zeros((1, 64, 48, 3), np.float32), {}, r"dtype <f4, shape \(1, 64, 48, 3\)"),
        (np.zeros((1, 64, 48, 4), np.uint8), {}, r"shape \(1, 64, 48, 4\)"),
        (np.zeros((64, 48, 3), np.uint8), {}, r"shape \(64, 48, 3\)"),
        (np.zeros((1, 64, 48, 3), np.uint8), {"strides": (9216, 3, 192, 1)}, "not contiguous"),
        (np.zeros((1, 64, 48, 3), np.uint8), {"shape": (0, 64, 48, 3)}, r"shape \(0, "),
    ],
)
def test_other_arrays_on_the_gpu_are_refused(
    board: Board, values: NDArray[Any], changes: dict[str, Any], problem: str
) -> None:
    with open_session(board.marker_plan()) as session:
        there = OnGpu(board, values, **changes)
        with pytest.raises(InputError, match=rf"the crops on the GPU: .*{problem}.*\n  Give contiguous uint8 of shape"):
            session.run(there)  # type: ignore[arg-type]
        there.free()


def test_what_is_no_array_is_refused(board: Board, frame_plan: Path) -> None:
    with (
        open_session(board.marker_plan()) as session,
        pytest.raises(InputError, match="the crops are a list, not a NumPy"),
    ):
        session.run([1])  # type: ignore[arg-type]
    with _opened(frame_plan) as session, pytest.raises(InputError, match="the frame is a list, not a NumPy array"):
        session.run_frame([1], _affines(1))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- crops cut by the GPU


def _scene(board: Board, people: int) -> tuple[NDArray[np.uint8], list[tuple[float, float, float, float]]]:
    """A frame of painted crops side by side, and boxes of which one crop pixel is one frame pixel."""
    height, width = board.markers.HEIGHT, board.markers.WIDTH
    frame = np.concatenate([board.markers.painted_crop(board.markers.spread_places(seed)) for seed in range(people)], 1)
    half_x, half_y, middle = width / 1.25 / 2, height / 1.25 / 2, (height - 1) / 2
    centres = [width * person + (width - 1) / 2 for person in range(people)]
    return frame, [(x - half_x, middle - half_y, x + half_x, middle + half_y) for x in centres]


@both_kinds
@each_library
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.usefixtures("kernel")
def test_crops_cut_by_the_gpu_give_the_same_joints(board: Board, cuda: str, channels: int) -> None:
    board.install_cuda(cuda)
    frame, boxes = _scene(board, 6)
    if channels == 4:
        frame = np.dstack([frame, np.full(frame.shape[:2], 77, np.uint8)])
    plan = board.marker_plan()
    with PoseEstimator(plan) as on_cpu:
        expected = on_cpu(frame, boxes)
    with PoseEstimator(plan, crops="gpu") as estimator:
        board.gpu.copies.clear()
        for poses in (estimator(frame, boxes), estimator.submit(frame, boxes).result()):
            np.testing.assert_array_equal(poses.keypoints, expected.keypoints)
            np.testing.assert_array_equal(poses.scores, expected.scores)
        if not board.gpu.integrated:
            given = [size for kind, size in board.gpu.copies if kind == "in"]
            assert given == [frame.nbytes, 4 * 24, 2 * 24] * 2
        larger = np.repeat(frame, 2, axis=0)
        assert len(estimator(larger, boxes)) == 6


@each_library
@pytest.mark.usefixtures("kernel")
def test_a_frame_on_the_gpu_is_cut_there(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    frame, boxes = _scene(board, 2)
    with PoseEstimator(board.marker_plan()) as estimator:
        expected, there = estimator(frame, boxes), OnGpu(board, frame)
        board.gpu.copies.clear()
        np.testing.assert_array_equal(estimator(there, boxes).keypoints, expected.keypoints)
        assert ("in", 2 * 24) in board.gpu.copies
        assert sum(size for kind, size in board.gpu.copies if kind == "in") == 2 * 24
        there.free()


@each_library
def test_a_kernel_that_cannot_be_compiled_leaves_the_session_sound(
    board: Board, cuda: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.install_cuda(cuda)
    frame, boxes = _scene(board, 2)

    def refused(*_: object) -> bytes:
        raise MachineError("NVRTC can't be loaded", cure="Use crops on the CPU.")

    for adapter in ("cuda_python", "pycuda_adapter"):
        monkeypatch.setattr(f"amfac_edge.sessions.{adapter}.compiled_by_nvrtc", refused)
    with PoseEstimator(board.marker_plan(), crops="gpu") as estimator:
        before = board.alive()
        for _ in range(2):
            with pytest.raises(MachineError, match="NVRTC can't be loaded"):
                estimator(frame, boxes)
            assert board.alive() == before
        for adapter in ("cuda_python", "pycuda_adapter"):
            monkeypatch.setattr(f"amfac_edge.sessions.{adapter}.compiled_by_nvrtc", compiled)
        assert len(estimator(frame, boxes)) == 2


def test_a_session_of_the_cpu_cannot_reach_the_gpu(board: Board) -> None:
    with PoseEstimator(board.markers.write_artefact(board.folder / "m.onnx")) as estimator:
        there = OnGpu(board, _frame())
        with pytest.raises(
            FrameError, match=r"the frame lies on the GPU, which a session of onnxruntime .* can't reach"
        ):
            estimator(there, [(1, 1, 40, 40)])
        there.free()


def test_crops_of_another_kind_are_refused(board: Board, frame_plan: Path) -> None:
    plan = board.marker_plan()
    with pytest.raises(InputError, match='crops="tpu" is no place to cut crops'):
        PoseEstimator(plan, crops="tpu")
    with pytest.raises(InputError, match=r"marker-64x48: .*onnxruntime.* can't cut crops on a GPU"):
        PoseEstimator(board.folder / "m1-4.onnx", crops="gpu")
    with pytest.raises(InputError, match=r"it takes whole frames, and cuts its crops itself"):
        PoseEstimator(frame_plan, crops="gpu")
