"""A window of OpenCV's with the newest frame."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MachineError
from amfac_edge.keypoints import load_opencv
from amfac_edge.live.pace import Pace

if TYPE_CHECKING:
    from types import TracebackType

    from amfac_edge.live.loop import PosedFrame
    from amfac_edge.live.painting import Painter

__all__ = ["Window", "open_and_close"]

_TITLE = "amfac-run (q ends)"
_PROBE_S = 30.0
_ESCAPE = 27
_NO_SCREEN = "Leave --show out; --page 8080 shows the same in a browser, --save writes it to a file."


class Window:
    """A listener of posed frames that shows them with the run's figures. `q`, Esc or closing the window ends it.

    Args:
        painter: of the frames.

    Attributes:
        ended: whether somebody ended it.

    Raises:
        MachineError: this OpenCV has no window, or there is no screen to show one on.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, painter: Painter) -> None:
        self._cv2 = load_opencv("showing a window")
        self.ended = False
        self._painter = painter
        self._pace = Pace()
        self._shown = False
        _require_a_screen()

    def add(self, posed: PosedFrame) -> None:
        """Show a frame."""
        cv2 = self._cv2
        self._pace.add(posed)
        picture = self._painter(posed, self._pace.sentence())
        if not self._shown:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(_TITLE, picture.shape[1], picture.shape[0])
            self._shown = True
        cv2.imshow(_TITLE, picture)
        key = cv2.waitKey(1) & 0xFF
        closed = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
        self.ended = self.ended or key in {ord("q"), _ESCAPE} or closed

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._shown:
            self._cv2.destroyAllWindows()


def open_and_close() -> str | None:
    """Open a window and close it again.

    Returns:
        What OpenCV says against it; None where it went well. A toolkit without a screen ends the whole process.
    """
    cv2 = load_opencv("showing a window")
    try:
        cv2.namedWindow("amfac-run")
        cv2.waitKey(1)
        cv2.destroyAllWindows()
    except cv2.error as error:
        return str(error)
    return None


def _require_a_screen() -> None:
    """In a process of its own, since Qt and GTK end theirs where no screen answers."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MachineError("--show: there is no screen here (DISPLAY is not set)", cure=_NO_SCREEN)
    try:
        fault = call_in_child("amfac_edge.live.window:open_and_close", timeout_s=_PROBE_S)
    except ChildFailure as failure:
        raise MachineError(
            f"--show: no window can be opened on the screen {os.environ.get('DISPLAY', '')}: {failure.reason}",
            cure=_NO_SCREEN,
        ) from failure
    if fault is not None:
        raise MachineError(
            "--show: this OpenCV was built without windows (a headless package)",
            cure=f"Install opencv-python in place of opencv-python-headless. {_NO_SCREEN}",
        )
