"""The newest frame of a camera, however slow the app is, and a new connection whenever the camera is gone.

A thread reads the camera as fast as it sends and keeps one frame, the newest. The app takes that one, or waits for the
next; what it was too slow for is dropped and counted. So a frame is at most one frame's time old at hand-over.

Whether a camera is still there is judged by the clock: `read` of a frozen stream may block for ever, or hand out old
pictures first. A thread that hangs is left behind, and another one connects. Where several hang it is the library that
does, and only a new process helps: the source says so, and ends with an error.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING

from amfac_edge.cameras.frames import Frame
from amfac_edge.cameras.live_limits import CameraCounts, CameraLimits
from amfac_edge.errors import AmfacError, FrameError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amfac_edge.cameras.addresses import CameraAddress
    from amfac_edge.cameras.captures import Capture, Picture
    from amfac_edge.keypoints import Bgr

__all__ = ["LiveSource"]

_MOST_HANGING = 4
_CLOSING_S = 2.0


@dataclass
class _Connection:
    """One reader thread's state, under the source's lock."""

    wait_s: float
    began: float = field(default_factory=monotonic)
    frames: int = 0
    last: float | None = None
    fault: str | None = None
    thread: threading.Thread | None = None
    capture: Capture | None = None

    def give_up(self) -> None:
        """Whoever reads it needn't wait any longer."""
        if self.capture is not None:
            self.capture.give_up()


class LiveSource:
    """A `FrameSource` of a camera: the newest frame, until `close` or an outage that lasts too long.

    A frame's `index` is its number among those that arrived, so that gaps show what was dropped; its `time` is in
    seconds since the first one that was handed over. Iterating again goes on with the newest frame. One thread
    iterates.

    Args:
        address: of the camera.
        connect: opens a connection; it is called in a thread of its own, again and again.
        limits: of patience.
        tell: is called with a sentence when the camera is lost and when it is back; from the iterating thread.

    Raises:
        FrameError: no first frame.
        AmfacError: what `connect` raises at first.
    """

    video = True
    live = True
    length: int | None = None

    def __init__(
        self,
        address: CameraAddress,
        connect: Callable[[], Capture],
        limits: CameraLimits | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.name = address.name
        self.skipped: list[tuple[str, str]] = []
        self.ignored: list[str] = []
        self.fps: float | None = address.fps
        self.tell = tell or (lambda _: None)
        self._address = address
        self._connect = connect
        self._limits = limits or CameraLimits()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._counts = CameraCounts()
        self._newest: Frame | None = None
        self._first: float | None = None
        self._lost: float | None = None
        self._fault: AmfacError | None = None
        self._hanging: list[threading.Thread] = []
        self._stuck: float | None = None
        self._connection = self._started(0.0)
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise

    def counts(self) -> CameraCounts:
        """What has happened so far; from any thread."""
        with self._changed:
            return self._counts

    def close(self) -> None:
        """End the connection and whoever waits for a frame; a reader that hangs is left behind. Twice is allowed."""
        if self._closed.is_set():
            return
        self._closed.set()
        with self._changed:
            thread = self._connection.thread
            self._connection.give_up()
            self._newest = None
            self._counts = replace(self._counts, connected=False)
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            yield frame

    # ------------------------------------------------------------------------------------------- the app's thread

    def _next(self) -> Frame | None:
        """The newest frame that was not handed over before; None when the source is closed or its time is over.

        Raises:
            FrameError: an outage that lasted too long.
        """
        while not self._closed.is_set():
            with self._changed:
                frame, self._newest = self._newest, None
                now = monotonic()
                if now > self._ends():
                    return None
                if frame is not None and frame.age(now) <= self._limits.max_age_s:
                    self._counts = replace(self._counts, handed=self._counts.handed + 1)
                    said = self._said_back(now)
                else:
                    self._counts = replace(self._counts, dropped=self._counts.dropped + (frame is not None))
                    frame, said = None, self._watched(now)
                    if said is None:
                        self._changed.wait(self._patience(now))
            # Told without the lock: whoever listens may ask for the counts.
            if said is not None:
                self.tell(said)
            if frame is not None:
                return self._handed(frame, now)
        return None

    def _handed(self, frame: Frame, now: float) -> Frame:
        arrived = now if frame.arrived is None else frame.arrived
        if self._first is None:
            self._first = arrived
        return replace(frame, image=self._fitted(frame.image), time=arrived - self._first, waited=now - arrived)

    def _await_first(self) -> None:
        deadline = monotonic() + self._limits.open_s
        with self._changed:
            while self._newest is None:
                left = deadline - monotonic()
                if self._connection.fault is not None:
                    raise self._fault or FrameError(f"{self.name}: {self._connection.fault}", cure=_CURE)
                if left <= 0:
                    raise FrameError(f"{self.name}: no frame within {self._limits.open_s:g} s", cure=_CURE)
                self._changed.wait(left)

    def _patience(self, now: float) -> float:
        """How long to wait before looking at the clock again."""
        patience = min(self._silent_since() + self._limits.stall_s - now, self._limits.stall_s, self._ends() - now)
        return max(0.01, patience)

    def _ends(self) -> float:
        """When the run is over."""
        run = self._limits.run_s
        return math.inf if run is None or self._first is None else self._first + run

    def _silent_since(self) -> float:
        connection = self._connection
        return max(connection.began + connection.wait_s, connection.last or 0.0)

    def _watched(self, now: float) -> str | None:
        """Connect again where the connection has ended or is silent; what to tell."""
        connection = self._connection
        silent = now - self._silent_since()
        # Connecting may take longer than a frame may.
        patience = self._limits.stall_s if connection.frames else max(self._limits.stall_s, self._limits.open_s)
        fault = connection.fault or (f"no frame for {silent:.1f} s" if silent > patience else None)
        said = None
        if fault is not None:
            said = self._connect_again(fault, now)
        outage = self._limits.outage_s
        if self._lost is not None and outage is not None and now - self._lost > outage:
            raise FrameError(f"{self.name}: no frame for {outage:g} s: {fault or 'the camera is gone'}", cure=_CURE)
        if self._stuck is not None and now - self._stuck > self._limits.hung_s:
            raise FrameError(
                f"{self.name}: {len(self._hanging) + 1} readers hang, for {self._limits.hung_s:g} s",
                cure="Start the app again: the library that reads cameras hangs, and only a new process is rid of it.",
            )
        return said

    def _connect_again(self, fault: str, now: float) -> str | None:
        connection = self._connection
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if connection.fault is None and connection.thread is not None:
            if len(self._hanging) >= _MOST_HANGING:
                # Every thread that was left behind holds a connection of the library's.
                return self._said_stuck(now)
            self._hanging.append(connection.thread)
        connection.give_up()
        self._stuck = None
        limits = self._limits
        wait = limits.first_wait_s if connection.frames else min(limits.longest_wait_s, connection.wait_s * 2)
        said = None
        if self._lost is None:
            self._lost = connection.last or now
            self._counts = replace(self._counts, stalls=self._counts.stalls + 1, connected=False)
            said = f"{self.name}: {fault}; connecting again"
        self._connection = self._started(max(wait, limits.first_wait_s))
        return said

    def _said_stuck(self, now: float) -> str | None:
        if self._stuck is not None:
            return None
        self._stuck = now
        return (
            f"{self.name}: {len(self._hanging) + 1} readers hang, and no other one is started; "
            f"the end is in {self._limits.hung_s:g} s, unless one of them comes back"
        )

    def _said_back(self, now: float) -> str | None:
        self._stuck = None
        if self._lost is None:
            return None
        outage, self._lost = now - self._lost, None
        return f"{self.name}: back after {outage:.1f} s"

    def _fitted(self, image: Bgr) -> Bgr:
        """The picture within the size that was asked for, in its own shape; cameras that can be asked have done it."""
        width, height = self._address.width, self._address.height
        if self._address.kind != "rtsp" or (width is None and height is None):
            return image
        scales = [asked / side for asked, side in zip((height, width), image.shape[:2], strict=True) if asked]
        size = tuple(max(1, round(side * min(scales))) for side in (image.shape[1], image.shape[0]))
        if size == (image.shape[1], image.shape[0]):
            return image
        cv2 = load_opencv("scaling frames")
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    # ------------------------------------------------------------------------------------------ the reader's thread

    def _started(self, wait_s: float) -> _Connection:
        connection = _Connection(wait_s)
        connection.thread = threading.Thread(
            target=self._read, args=(connection,), name=f"camera {self.name}", daemon=True
        )
        connection.thread.start()
        return connection

    def _read(self, connection: _Connection) -> None:
        capture: Capture | None = None
        fault: str | None = None
        try:
            if connection.wait_s:
                self._closed.wait(connection.wait_s)
            if self._closed.is_set():
                return
            capture = self._connect()
            with self._changed:
                connection.capture = capture
                if self._unwanted(connection):
                    return
            fault = self._read_all(capture, connection)
        except AmfacError as error:
            fault = self._address.cleaned(error.problem.removeprefix(f"{self.name}: "))
            if not self._counts.connections:
                self._fault = error
        except Exception as error:  # noqa: BLE001 - a library's fault in a thread would be lost
            fault = self._address.cleaned(f"{type(error).__name__}: {error}")
        finally:
            if capture is not None:
                capture.close()
            with self._changed:
                connection.fault = fault or "the stream ended"
                self._changed.notify_all()

    def _read_all(self, capture: Capture, connection: _Connection) -> str | None:
        due = 0.0
        while True:
            began = monotonic()
            picture = capture.read()
            now = monotonic()
            if picture is None:
                return f"no frame for {now - began:.1f} s" if now - began > self._limits.stall_s else None
            if connection.frames and now - began > self._limits.stall_s:
                # What comes after a silence may have waited in the library: only a new connection is sure to be new.
                return f"no frame for {now - began:.1f} s"
            wanted = self._address.fps
            if self._address.kind == "rtsp" and wanted is not None:
                if now < due:
                    connection.last = now
                    continue
                due = due + 1 / wanted if now - due < 1 / wanted else now + 1 / wanted
            if not self._kept(picture, capture, connection, now):
                return None

    def _unwanted(self, connection: _Connection) -> bool:
        return self._closed.is_set() or connection is not getattr(self, "_connection", connection)

    def _kept(self, picture: Picture, capture: Capture, connection: _Connection, now: float) -> bool:
        """Put the picture in the place of the last one; False where nobody wants it any more."""
        with self._changed:
            if self._unwanted(connection):
                return False
            counts = self._counts
            frame = Frame(
                counts.arrived,
                0.0,
                self.name,
                picture.image,
                arrived=now,
                source_time=picture.source_time,
            )
            self._counts = replace(
                counts,
                arrived=counts.arrived + 1,
                dropped=counts.dropped + (self._newest is not None),
                connections=counts.connections + (connection.frames == 0),
                connected=True,
            )
            if connection.frames == 0 and self._address.fps is None:
                self.fps = capture.fps
            connection.frames += 1
            connection.last = now
            self._newest = frame
            self._changed.notify_all()
            return True


_CURE = "Check the camera and the way to it; docs/camera-apps.md says what each fault looks like."
