"""A process that runs for days keeps its size: calls around a network and a CUDA that cost nothing.

AMFAC_TEST_CALLS=1000000 makes the run as long as wanted; `-s` prints what it grew by, and the time of a call.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.declared.recipe import CropRule, load_recipe
from amfac_edge.performance.host import ConstantSession
from amfac_edge.runtime import PoseEstimator
from tests.own_memory import grown_in_every_part, own_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

_FIRST, _LAST = 2_000, int(os.environ.get("AMFAC_TEST_CALLS", "30000"))
_BOXES = [(30.0, 20.0, 90.0, 110.0)]
_PARTS = 4
# What the system gives and takes back by itself; of a million calls it would be five bytes each.
_MOST_BYTES = 5 << 20
# Python's own caches of small objects move by some tens; one object that is kept a call would be thousands.
_MOST_BLOCKS = 500

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """What runs for long beside other work must not wait for OpenCV's threads to wake up."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def _grown(call: Callable[[], object], name: str) -> tuple[int, int]:
    """Bytes of memory, and blocks that Python allocated, more after the last call than after the first."""
    for _ in range(_FIRST):
        call()
    gc.collect()
    sizes, blocks, lasted = [own_bytes()], sys.getallocatedblocks(), 0.0
    for _ in range(_PARTS):
        began = time.thread_time()
        for _ in range((_LAST - _FIRST) // _PARTS):
            call()
        lasted += time.thread_time() - began
        gc.collect()
        sizes.append(own_bytes())
    grown = grown_in_every_part(sizes), sys.getallocatedblocks() - blocks
    sys.stdout.write(
        f"\n{name}: calls {_FIRST:,} to {_LAST:,}: {(sizes[-1] - sizes[0]) / (1 << 20):+.2f} MiB, {grown[1]:+} blocks, "
        f"{lasted / (_LAST - _FIRST) * 1e6:.1f} us of this thread a call\n"
    )
    return grown


class _NoOpenCv:
    INTER_LINEAR = WARP_INVERSE_MAP = BORDER_CONSTANT = 0

    @staticmethod
    def warpAffine(*_: Any, **__: Any) -> None:  # noqa: ANN401, N802 - OpenCV's name
        pass


def _tell_python_us(estimator: PoseEstimator, frame: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a call takes besides OpenCV and the engine: checks, affines, the session's work, the way back."""
    monkeypatch.setattr("amfac_edge.keypoints.warp.load_opencv", lambda _: _NoOpenCv)
    for people in (1, 5):
        samples = []
        for _ in range(3_000):
            started = time.thread_time()
            estimator(frame, _BOXES * people)
            samples.append(time.thread_time() - started)
        sys.stdout.write(f"{people} at {estimator.input_size}: {statistics.median(samples) * 1e6:.0f} us of Python\n")


def _nothing(*_: Any, **__: Any) -> tuple[int]:  # noqa: ANN401
    return (0,)


def _costs_nothing(board: Board, cuda: str) -> None:
    """From here on, whatever a call of a session asks of CUDA is done at once, and is nothing."""
    if cuda == "pycuda":
        driver, free = sys.modules["pycuda.driver"], board.monkeypatch.setattr
        for name in ("memcpy_htod_async", "memcpy_dtoh_async"):
            free(driver, name, _nothing)
        for owner, names in (("Event", ("record", "synchronize")), ("Context", ("push",))):
            for name in names:
                free(getattr(driver, owner), name, _nothing)
        free(driver.Context, "pop", staticmethod(_nothing))
        free(sys.modules["tests.sessions.fake_tensorrt_runtime"]._Context, "execute_async_v3", lambda *_: True)
        return
    runtime, driver = sys.modules["cuda.bindings.runtime"], sys.modules["cuda.bindings.driver"]
    for name in ("cudaMemcpyAsync", "cudaGraphLaunch", "cudaEventRecord", "cudaEventSynchronize"):
        board.monkeypatch.setattr(runtime, name, _nothing)
    for name in ("cuCtxPushCurrent", "cuCtxPopCurrent"):
        board.monkeypatch.setattr(driver, name, _nothing)


def _frame() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def test_an_estimator_keeps_its_size() -> None:
    recipe, frame = load_recipe("amfacpose-r18-256x256"), _frame()
    with pytest.MonkeyPatch.context() as patch, PoseEstimator.over(ConstantSession(recipe, 5)) as estimator:
        size, blocks = _grown(lambda: estimator(frame, _BOXES), "estimator")
        _tell_python_us(estimator, frame, patch)
    assert (size < _MOST_BYTES, blocks < _MOST_BLOCKS) == (True, True), (size, blocks)


def test_frames_that_are_submitted_keep_nothing() -> None:
    recipe, frame = load_recipe("amfacpose-r18-128x128-crowdpose"), _frame()
    with PoseEstimator.over(ConstantSession(recipe, 1)) as estimator:
        size, blocks = _grown(lambda: estimator.submit(frame, _BOXES).result(), "submit")
    assert (size < _MOST_BYTES, blocks < _MOST_BLOCKS) == (True, True), (size, blocks)


@pytest.mark.parametrize("cuda", ["cuda-python", "pycuda"])
def test_a_session_of_tensorrt_keeps_its_size(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    crop = CropRule(256, 256)
    board.monkeypatch.setattr(board.markers, "HEIGHT", crop.height)
    board.monkeypatch.setattr(board.markers, "WIDTH", crop.width)
    board.monkeypatch.setattr(board.markers, "RECIPE", dataclasses.replace(board.markers.RECIPE, crop=crop))
    frame = _frame()
    with board.monkeypatch.context() as patch, PoseEstimator(board.marker_plan()) as estimator:
        board.monkeypatch = patch
        _costs_nothing(board, cuda)
        size, blocks = _grown(lambda: estimator(frame, _BOXES), f"plan by {cuda}")
        _tell_python_us(estimator, frame, patch)
        patch.undo()
    assert (size < _MOST_BYTES, blocks < _MOST_BLOCKS) == (True, True), (size, blocks)
