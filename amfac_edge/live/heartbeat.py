"""The heartbeat that a supervisor asks for: systemd's notification socket."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.live.loop import PosedFrame

__all__ = ["Heartbeat"]

_APART_S = 1.0


class Heartbeat:
    """A listener of posed frames that says so to systemd: READY at the first one, WATCHDOG at most once a second.

    What it says is true: a frame has gone through. An app that hangs, and a camera that sends nothing, say nothing, and
    `WatchdogSec=` starts the app again. Without NOTIFY_SOCKET in the environment it does nothing.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # As systemd writes it, an "@" in front is the zero byte of a name without a file.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._due = 0.0
        self._ready = False

    def add(self, posed: PosedFrame) -> None:  # noqa: ARG002 - that it came is enough
        """Say that a frame has gone through."""
        now = time.monotonic()
        if not self._address or (self._ready and now < self._due):
            return
        words = b"WATCHDOG=1" if self._ready else b"READY=1\nWATCHDOG=1"
        self._ready, self._due = True, now + _APART_S
        # Nobody there is no fault of the app's.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.settimeout(_APART_S)
            speaker.sendto(words, self._address)
