"""The newest frame of cameras that are made up: each connection is a list of what its `read` does."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import CameraLimits, LiveSource, camera_address
from amfac_edge.cameras.captures import Picture
from amfac_edge.errors import FrameError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from amfac_edge.cameras import CameraAddress

pytest.importorskip("cv2")

ADDRESS = camera_address("rtsp://warden:hush@host/a")
QUICK = CameraLimits(open_s=5.0, stall_s=0.2, max_age_s=1.0, first_wait_s=0.01, longest_wait_s=0.05)
HANG = "hang"
Step = float | str | threading.Event | np.ndarray | None


class Scripted:
    """A capture: a number pauses, an event is waited for, a picture is a picture, a text is raised, None ends.

    HANG waits until it's freed.
    """

    fps: float | None = 25.0

    def __init__(self, steps: list[Step], freed: threading.Event) -> None:
        self.steps = list(steps)
        self.freed = freed
        self.closed = False

    def read(self) -> Picture | None:
        while self.steps:
            step = self.steps.pop(0)
            if step is None or isinstance(step, np.ndarray):
                return None if step is None else Picture(step, None)
            if isinstance(step, float):
                time.sleep(step)
            elif isinstance(step, threading.Event):
                step.wait(20)
            elif step != HANG:
                raise RuntimeError(step)
            else:
                self.freed.wait(20)
        self.freed.wait(20)
        return None

    def give_up(self) -> None:
        """It hangs all the same, as OpenCV's do."""

    def close(self) -> None:
        self.closed = True


class Plug:
    """Opens one scripted connection after the other, then refuses."""

    def __init__(self, *connections: list[Step]) -> None:
        self.freed = threading.Event()
        self.captures = [Scripted(steps, self.freed) for steps in connections]
        self.opened = 0

    def __call__(self) -> Scripted:
        if self.opened == len(self.captures):
            raise FrameError("rtsp://host/a: can't be opened", cure="Plug it in.")
        self.opened += 1
        return self.captures[self.opened - 1]


class Heard(LiveSource):
    """A live source that keeps what it tells."""

    def __init__(self, address: CameraAddress, plug: Callable[[], Scripted], limits: CameraLimits) -> None:
        self.said: list[str] = []
        super().__init__(address, plug, limits, self.said.append)

    def __enter__(self) -> Heard:
        return self


def grey(value: int, height: int = 4) -> np.ndarray:
    return np.full((height, 6, 3), value, np.uint8)


def opened(plug: Callable[[], Scripted], limits: CameraLimits = QUICK, source: str | None = None) -> Heard:
    address = ADDRESS if source is None else camera_address(source)
    assert address is not None
    return Heard(address, plug, limits)


def taken(source: LiveSource, count: int) -> list[int]:
    return [int(frame.image[0, 0, 0]) for _, frame in zip(range(count), source, strict=False)]


def arrived(source: LiveSource, count: int) -> None:
    """Wait until so many frames came."""
    ends = time.monotonic() + 20
    while source.counts().arrived < count:
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_a_slow_app_gets_the_newest_frame_and_the_rest_is_counted() -> None:
    go, go_on = threading.Event(), threading.Event()
    plug = Plug([grey(1), go, grey(2), grey(3), grey(4), go_on, grey(5)])
    with opened(plug, CameraLimits(stall_s=30, max_age_s=30)) as source:
        frames = iter(source)
        first = next(frames)
        go.set()
        arrived(source, 4)
        second = next(frames)
        go_on.set()
        third = next(frames)
        assert [int(frame.image[0, 0, 0]) for frame in (first, second, third)] == [1, 4, 5]
        assert [frame.index for frame in (first, second, third)] == [0, 3, 4]
        assert first.time == 0 < second.time < third.time
        counts = source.counts()
        assert (counts.arrived, counts.handed, counts.dropped, counts.connections) == (5, 3, 2, 1)
    plug.freed.set()


def test_a_frame_that_lay_too_long_is_not_handed_over() -> None:
    plug = Plug([grey(1), 1.2, grey(2)])
    with opened(plug, CameraLimits(stall_s=30, max_age_s=0.5)) as source:
        time.sleep(0.7)
        assert taken(source, 1) == [2]
        assert source.counts().dropped == 1
    plug.freed.set()


def test_an_unplugged_camera_is_connected_to_again() -> None:
    first_is_taken, second_is_taken = threading.Event(), threading.Event()
    plug = Plug([grey(1), first_is_taken, None], [grey(2), second_is_taken, "usb error"], [grey(3)])
    with opened(plug, replace(QUICK, stall_s=30.0)) as source:
        assert taken(source, 1) == [1]
        first_is_taken.set()
        assert taken(source, 1) == [2]
        second_is_taken.set()
        assert taken(source, 1) == [3]
        counts = source.counts()
        assert (counts.connections, counts.stalls) == (3, 2)
        assert source.said[0] == "rtsp://host/a: the stream ended; connecting again"
        assert "back after" in source.said[1]
        assert "RuntimeError: usb error" in source.said[2]
        assert plug.captures[0].closed
    plug.freed.set()


def test_a_frozen_stream_is_left_behind_by_the_clock() -> None:
    plug = Plug([grey(1), HANG, grey(99)], [grey(2)])
    with opened(plug) as source:
        assert taken(source, 2) == [1, 2]
        assert "no frame for" in source.said[0]
        plug.freed.set()
        # What the hung reader brings at last is old, and nobody gets it.
        time.sleep(0.1)
        assert source.counts().arrived == 2
        assert plug.captures[0].closed


def test_a_reader_that_can_be_woken_is_and_its_camera_is_free_again() -> None:
    class Waiting(Scripted):
        def give_up(self) -> None:
            self.freed.set()

    plug = Plug([grey(1), HANG], [grey(2), HANG])
    plug.captures = [Waiting(capture.steps, threading.Event()) for capture in plug.captures]
    with opened(plug) as source:
        first = source._connection.thread
        assert taken(source, 2) == [1, 2]
        assert first is not None
        first.join(20)
        assert plug.captures[0].closed
        second = source._connection.thread
    assert second is not None
    second.join(20)
    assert plug.captures[1].closed


@pytest.mark.parametrize("wrong", [{"open_s": math.inf}, {"stall_s": 1e9}, {"first_wait_s": math.nan}, {"run_s": 0}])
def test_times_that_can_not_be_waited_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"of a camera: \S+ seconds"):
        CameraLimits(**wrong)


def test_what_comes_after_a_silence_is_not_taken_for_new() -> None:
    plug = Plug([grey(1), 0.5, grey(99), grey(98)], [grey(2)])
    with opened(plug, CameraLimits(stall_s=0.4, first_wait_s=0.3)) as source:
        assert taken(source, 2) == [1, 2]
    plug.freed.set()


def test_a_camera_that_never_sends_is_an_error_and_not_a_wait_for_ever() -> None:
    plug = Plug([])
    with pytest.raises(FrameError, match=r"rtsp://host/a: no frame within 0\.2 s"):
        opened(plug, CameraLimits(open_s=0.2))
    plug.freed.set()


def test_a_camera_that_can_not_be_opened_is_told_at_once() -> None:
    with pytest.raises(FrameError, match=r"can't be opened\n.*Plug it in"):
        opened(Plug())


def test_an_outage_that_lasts_too_long_ends_the_run() -> None:
    plug = Plug([grey(1), 0.02, None])
    limits = CameraLimits(stall_s=0.1, first_wait_s=0.01, longest_wait_s=0.02, outage_s=0.3)
    with opened(plug, limits) as source, pytest.raises(FrameError, match=r"no frame for 0\.3 s"):
        taken(source, 2)


def test_a_run_ends_in_time_though_nothing_comes() -> None:
    plug = Plug([grey(1), 0.02, None])
    with opened(plug, CameraLimits(stall_s=0.1, first_wait_s=0.01, run_s=0.5)) as source:
        began = time.monotonic()
        assert taken(source, 99) == [1]
        assert time.monotonic() - began < 10


def test_time_and_the_run_begin_with_the_first_frame_that_is_taken() -> None:
    steps: list[Step] = [step for value in range(250) for step in (grey(value), 0.02)]
    plug = Plug(steps)
    with opened(plug, CameraLimits(stall_s=30, run_s=0.2)) as source:
        # An engine is loaded meanwhile.
        time.sleep(0.5)
        frames = list(source)
        assert frames[0].time == 0
        assert frames[0].index > 5
        assert frames[-1].time > 0.1
    plug.freed.set()


def test_no_more_readers_are_left_behind_than_a_few() -> None:
    connections: list[list[Step]] = [[grey(value), HANG] for value in range(20)]
    plug = Plug(*connections)
    with opened(plug, CameraLimits(stall_s=0.05, first_wait_s=0.01, run_s=1.5)) as source:
        taken(source, 99)
        assert plug.opened <= 6
    plug.freed.set()


def test_where_all_readers_hang_it_is_said_once_and_the_source_ends() -> None:
    connections: list[list[Step]] = [[grey(value), HANG] for value in range(20)]
    plug = Plug(*connections)
    limits = CameraLimits(stall_s=0.05, first_wait_s=0.01, hung_s=0.4)
    with opened(plug, limits) as source:
        with pytest.raises(FrameError, match=r"rtsp://host/a: 5 readers hang, for 0\.4 s\n.*Start the app again"):
            taken(source, 99)
        (said,) = [text for text in source.said if "hang" in text]
        assert "5 readers hang, and no other one is started; the end is in 0.4 s" in said
        assert plug.opened == 5
    plug.freed.set()


def test_where_one_of_the_readers_comes_back_another_is_started() -> None:
    first = threading.Event()
    hanging: list[list[Step]] = [[grey(value), HANG] for value in range(1, 9)]
    plug = Plug([grey(0), first, None], *hanging)
    source = opened(plug, CameraLimits(stall_s=0.05, first_wait_s=0.01, hung_s=30))
    # From the iterating thread, which alone sees that they hang.
    source.tell = lambda text: first.set() if "readers hang" in text else None
    with source:
        assert taken(source, 6) == [0, 1, 2, 3, 4, 5]
    plug.freed.set()


def test_a_reader_that_ends_is_none_that_hangs() -> None:
    hanging: list[list[Step]] = [[grey(value), HANG] for value in range(4)]
    plug = Plug(*hanging, [grey(4), None], [grey(5)])
    with opened(plug, CameraLimits(stall_s=0.3, first_wait_s=0.01, hung_s=30)) as source:
        assert taken(source, 6) == [0, 1, 2, 3, 4, 5]
        assert not [text for text in source.said if "hang" in text]
    plug.freed.set()


def test_a_size_that_changes_is_the_frame_s_own() -> None:
    plug = Plug([grey(1), 0.1, grey(2, height=9)])
    with opened(plug) as source:
        shapes = [frame.image.shape for _, frame in zip(range(2), source, strict=False)]
        assert shapes == [(4, 6, 3), (9, 6, 3)]
    plug.freed.set()


def test_a_network_camera_is_scaled_in_its_own_shape_and_slowed_down() -> None:
    steps: list[Step] = [step for value in range(8) for step in (grey(value, height=8), 0.02)]
    plug = Plug(steps)
    with opened(plug, QUICK, "rtsp://host/a?width=3&fps=10") as source:
        frames = [frame for _, frame in zip(range(2), source, strict=False)]
        assert {frame.image.shape for frame in frames} == {(4, 3, 3)}
        assert frames[1].time >= 0.08
        assert source.fps == 10
    plug.freed.set()


def test_a_library_s_words_lose_the_password() -> None:
    plug = Plug([grey(1), 0.02, "401 at rtsp://warden:hush@host/a"], [grey(2)])
    with opened(plug) as source:
        taken(source, 2)
        assert "hush" not in str(source.said)
        assert "hush" not in repr(source.__dict__)
    plug.freed.set()


def test_close_ends_whoever_waits() -> None:
    plug = Plug([grey(1)])
    source = opened(plug, CameraLimits(stall_s=30))
    frames = iter(source)
    next(frames)
    threading.Timer(0.1, source.close).start()
    assert list(frames) == []
    plug.freed.set()


def test_patience_is_above_zero() -> None:
    with pytest.raises(InputError, match=r"stall_s of a camera: 0 seconds"):
        CameraLimits(stall_s=0)
