from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError
from amfac_edge.runtime import MicroBatcher, PoseEstimator, batching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import ArrayLike, NDArray

    from amfac_edge.runtime import Poses


_BAD: Any = np.zeros((9, 9, 3))


@pytest.fixture(scope="module")
def estimator(markers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoseEstimator]:
    path: Path = markers.write_artefact(tmp_path_factory.mktemp("engine") / "engine.onnx")
    with PoseEstimator(path, threads=1) as opened:
        yield opened


def _frame(seed: int, size: tuple[int, int] = (96, 80)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def _boxes(people: int) -> list[list[float]]:
    return [[5.0 + person, 6, 60, 80] for person in range(people)]


def _same(one: Poses, other: Poses) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("keypoints", "scores", "boxes"))


def test_a_batch_of_frames_has_the_poses_of_each_alone(estimator: PoseEstimator) -> None:
    pairs = [(_frame(0), _boxes(2)), (_frame(1, (60, 120)), None), (_frame(2, (200, 100)), _boxes(1))]
    together = estimator.batch(pairs)
    assert [len(poses) for poses in together] == [2, 0, 1]
    assert all(_same(poses, estimator(*pair)) for poses, pair in zip(together, pairs, strict=True))
    assert estimator.batch([]) == []
    assert [len(poses) for poses in estimator.batch([(_frame(0), None)])] == [0]
    crowd = estimator.batch([(_frame(0), _boxes(20)), (_frame(1), _boxes(20))])
    assert _same(crowd[1], estimator(_frame(1), _boxes(20)))


def test_a_frame_that_can_not_be_used_runs_nothing(estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator._session, "run", lambda _: pytest.fail("it ran"))
    with pytest.raises(FrameError, match="dtype"):
        estimator.batch([(_frame(0), _boxes(1)), (_BAD, _boxes(1))])


def test_cameras_that_ask_together_share_a_batch_and_get_their_own(
    estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    batch = estimator.batch

    def counted(pairs: list[tuple[NDArray[np.uint8], ArrayLike]]) -> list[Poses]:
        sizes.append(len(pairs))
        return batch(pairs)

    monkeypatch.setattr(estimator, "batch", counted)
    # Nobody gives up waiting in this test: the batch is full when the fourth has asked.
    with MicroBatcher(estimator, cameras=4, wait_ms=60_000) as batcher, ThreadPoolExecutor(4) as cameras:
        for turn in range(3):
            asked = [(_frame(10 * turn + camera), _boxes(1 + camera % 2)) for camera in range(4)]
            answers = list(cameras.map(batcher, *zip(*asked, strict=True)))
            assert all(_same(answer, estimator(*pair)) for answer, pair in zip(answers, asked, strict=True))
        assert (batcher.frames, batcher.batches) == (12, 3)
    assert sizes == [4, 4, 4]


def test_a_full_batch_does_not_wait(estimator: PoseEstimator) -> None:
    with MicroBatcher(estimator, most_people=3, wait_ms=60_000) as batcher, ThreadPoolExecutor(2) as cameras:
        answers = list(cameras.map(batcher, [_frame(0), _frame(1)], [_boxes(1), _boxes(2)]))
        assert [len(poses) for poses in answers] == [1, 2]
        assert len(batcher(_frame(2), _boxes(7))) == 7  # more than a batch: it goes through whole


def test_one_alone_waits_no_longer_than_it_shall(estimator: PoseEstimator) -> None:
    with MicroBatcher(estimator, cameras=2, wait_ms=20) as batcher:
        poses, times = batcher.timed(_frame(0), _boxes(1))
    assert len(poses) == 1
    assert times.network_ms >= 20
    assert (times.crop_ms, times.decode_ms) == (0, 0)


def test_cameras_that_take_turns_come_together(estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked while the engine was busy still waits for the one whose frame it was busy with."""
    now = 0.0
    monkeypatch.setattr(batching, "monotonic", lambda: now)
    sizes: list[int] = []
    running, released = threading.Event(), threading.Event()
    batch = estimator.batch

    def held(pairs: list[tuple[NDArray[np.uint8], ArrayLike]]) -> list[Poses]:
        sizes.append(len(pairs))
        running.set()
        assert released.wait(60)
        return batch(pairs)

    monkeypatch.setattr(estimator, "batch", held)
    with MicroBatcher(estimator, most_people=2, wait_ms=60_000) as batcher, ThreadPoolExecutor(2) as cameras:
        batcher._wait_s = 0.0
        first = cameras.submit(batcher, _frame(0), _boxes(1))
        assert running.wait(60)
        batcher._wait_s = 60.0
        other = cameras.submit(batcher, _frame(1), _boxes(1))
        while not batcher._waiting:
            pass
        now = 100.0  # the other has waited for longer than anybody shall
        released.set()
        assert len(first.result()) == 1
        again = cameras.submit(batcher, _frame(2), _boxes(1))
        assert [len(each.result()) for each in (other, again)] == [1, 1]
    assert sizes == [1, 2]


def test_nobody_in_a_frame_waits_for_nobody(estimator: PoseEstimator) -> None:
    with MicroBatcher(estimator, wait_ms=60_000) as batcher:
        assert len(batcher(_frame(0), None)) == len(batcher(_frame(0), [])) == 0
        assert batcher.batches == 0


@pytest.mark.parametrize("boxes", [[[1.0, 2.0], [3.0]], "everybody", 7.0])
def test_boxes_that_are_none_are_told_as_the_estimator_tells_them(estimator: PoseEstimator, boxes: object) -> None:
    with MicroBatcher(estimator, wait_ms=0) as batcher:
        with pytest.raises(FrameError) as alone:
            estimator(_frame(0), boxes)  # type: ignore[arg-type]
        with pytest.raises(FrameError, match=re.escape(str(alone.value))):
            batcher(_frame(0), boxes)  # type: ignore[arg-type]


def test_a_bad_frame_is_the_fault_of_its_camera_alone(estimator: PoseEstimator) -> None:
    with MicroBatcher(estimator, cameras=2, wait_ms=60_000) as batcher, ThreadPoolExecutor(2) as cameras:
        bad = cameras.submit(batcher, _BAD, _boxes(1))
        good = cameras.submit(batcher, _frame(0), _boxes(1))
        assert len(good.result()) == 1
        with pytest.raises(FrameError, match="dtype"):
            bad.result()


def test_a_fault_of_the_engine_is_told_to_all(estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("the GPU is gone")

    monkeypatch.setattr(estimator, "batch", fails)
    with MicroBatcher(estimator, cameras=2, wait_ms=60_000) as batcher, ThreadPoolExecutor(2) as cameras:
        asked = [cameras.submit(batcher, _frame(0), _boxes(1)) for _ in range(2)]
        for each in asked:
            with pytest.raises(RuntimeError, match="the GPU is gone"):
                each.result()


def test_closing_finishes_what_was_asked_for(estimator: PoseEstimator) -> None:
    threads = threading.active_count()
    with ThreadPoolExecutor(1) as cameras:
        batcher = MicroBatcher(estimator, cameras=2, wait_ms=60_000)
        asked = cameras.submit(batcher, _frame(0), _boxes(1))
        while not batcher._waiting:
            pass
        batcher.close()
        assert len(asked.result()) == 1
    batcher.close()
    assert threading.active_count() == threads
    with pytest.raises(InputError, match="closed"):
        batcher(_frame(0), _boxes(1))


@pytest.mark.parametrize("wrong", [{"cameras": 0}, {"most_people": 0}, {"wait_ms": -1.0}, {"wait_ms": float("nan")}])
def test_numbers_that_can_not_be_meant(estimator: PoseEstimator, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="a batcher of"):
        MicroBatcher(estimator, **wrong)  # type: ignore[arg-type]
