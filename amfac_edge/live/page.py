"""The page: what the app sees, as a moving picture in a browser.

Whoever watches gets the newest frame, as JPEG pictures in one endless answer (MJPEG), and misses those that it is too
slow for. A thread of the page's own draws and encodes, once for all who watch, and only while somebody does: the loop
hands over a reference and goes on. Nothing is kept but the newest frame.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import load_opencv
from amfac_edge.live.pace import Pace
from amfac_edge.live.page_server import PageServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from amfac_edge.live.loop import PosedFrame
    from amfac_edge.live.page_access import PageAccess
    from amfac_edge.live.painting import Painter

__all__ = ["Page"]

_QUALITY = 80
_CLOSING_S = 5.0


class Page:
    """A listener of posed frames that serves them over HTTP, from construction until its `with` block ends.

    A frame's picture is read after `add` has returned: who hands frames in must not write over them.

    Args:
        access: says where it listens and who may see it.
        painter: of the frames.
        most_fps: pictures a second at most; on a board the rest of the processor is the network's.

    Attributes:
        url: where a browser of this machine finds it.

    Raises:
        InputError: the address can't be listened on.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, access: PageAccess, painter: Painter, *, most_fps: float = 20.0) -> None:
        load_opencv("encoding pictures")
        self._painter = painter
        self._apart_s = 1 / most_fps
        self._pace = Pace()
        self._changed = threading.Condition()
        self._newest: PosedFrame | None = None
        self._number = 0
        self._arrived = time.monotonic()
        self._picture: tuple[int, bytes] | None = None
        self._watching = 0
        self._told: dict[str, Any] | None = None
        self._fault: Exception | None = None
        self._closed = False
        self._encoder = threading.Thread(target=self._encode_all, name="page pictures", daemon=True)
        try:
            self._server = PageServer(access, self)
        except OSError as error:
            host, port = access.address
            raise InputError(
                f"--page: {host}:{port} can't be listened on: {error.strerror or error}",
                cure="Give another port (0 takes a free one), and an address of this machine.",
            ) from error
        self.url = self._server.url
        self._encoder.start()
        self._server.start()

    def add(self, posed: PosedFrame) -> None:
        """Show a frame from now on.

        Raises:
            FrameError: an earlier frame could not be drawn.
        """
        with self._changed:
            if self._fault is not None:
                raise FrameError(
                    f"the page can't show a frame: {type(self._fault).__name__}: {self._fault}",
                    cure="Leave --page out.",
                ) from self._fault
            self._pace.add(posed)
            self._newest = posed
            self._number += 1
            self._arrived = time.monotonic()
            self._changed.notify_all()

    def tell(self, figures: dict[str, Any]) -> None:
        """Put the figures of the whole run, JSON, among the page's (`run`); from any thread."""
        with self._changed:
            self._told = figures

    def stats(self) -> dict[str, Any]:
        """What the page shows beside the picture, JSON.

        Returns:
            `frames`, `fps`, `people` and `stages_ms` as `Pace.figures` gives them; of the newest frame `frame`, `time`,
            `name`, `size` [width, height], `ids` and `since_frame_s` (seconds since it came), None before the first
            one; `viewers`; `run`, what `tell` was told last.
        """
        with self._changed:
            posed, viewers, run = self._newest, self._watching, self._told
            since, figures = time.monotonic() - self._arrived, self._pace.figures()
        newest: dict[str, Any] = dict.fromkeys(("frame", "time", "name", "size", "ids", "since_frame_s"))
        if posed is not None:
            height, width = posed.frame.image.shape[:2]
            newest.update(
                frame=posed.frame.index,
                time=round(posed.frame.time, 3),
                name=posed.frame.name,
                size=[width, height],
                ids=None if posed.ids is None else posed.ids.tolist(),
                since_frame_s=round(since, 2),
            )
        return {**figures, **newest, "viewers": viewers, "run": run}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Somebody watches in this block."""
        with self._changed:
            self._watching += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._watching -= 1
                if not self._watching:
                    self._picture = None

    def picture(self, after: int, wait_s: float) -> tuple[int, bytes] | None:
        """The newest picture as JPEG with its number, which is above `after`; within `watched`.

        Returns:
            None where none comes within `wait_s` seconds, or the page is closed.
        """

        def is_there() -> bool:
            return self._closed or (self._picture is not None and self._picture[0] > after)

        with self._changed:
            self._changed.wait_for(is_there, wait_s)
            picture = self._picture
            return None if self._closed or picture is None or picture[0] <= after else picture

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on whoever watches, and free the port."""
        with self._changed:
            self._closed = True
            self._newest = self._picture = None
            self._changed.notify_all()
        self._server.close()
        self._encoder.join(_CLOSING_S)

    def _encode_all(self) -> None:
        while (taken := self._to_encode()) is not None:
            number, posed = taken
            began = time.monotonic()
            try:
                content = self._encoded(posed)
            except Exception as error:  # noqa: BLE001 - told by the next `add`, in the loop's thread
                with self._changed:
                    self._fault = error
                return
            # No reference is kept over the pause: the frame's memory is its owner's.
            del posed, taken
            with self._changed:
                if self._watching:
                    self._picture = (number, content)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed, max(0.0, began + self._apart_s - time.monotonic()))

    def _to_encode(self) -> tuple[int, PosedFrame] | None:
        """The newest frame, once somebody watches and has not seen it; None when the page is closed."""

        def is_wanted() -> bool:
            shown = self._picture[0] if self._picture else 0
            return self._closed or (self._watching > 0 and self._number > shown)

        with self._changed:
            self._changed.wait_for(is_wanted)
            return None if self._closed or self._newest is None else (self._number, self._newest)

    def _encoded(self, posed: PosedFrame) -> bytes:
        cv2 = load_opencv("encoding pictures")
        picture = self._painter(posed)
        return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
