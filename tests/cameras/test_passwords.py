"""A camera that asks who is there, on the loopback address: the password that reaches it, and nobody else."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.cameras import captures

if TYPE_CHECKING:
    from io import BufferedRWPair

pytest.importorskip("cv2")
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

PROGRAM = """
import sys
from amfac_edge.cameras import open_source
from amfac_edge.errors import FrameError
try:
    open_source(sys.argv[1])
except FrameError as error:
    print(error)
"""


class Doorkeeper:
    """Answers every request with 401 and keeps the credentials that come with the next one."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                with connection, connection.makefile("rwb") as stream:
                    self._ask(stream)
        except OSError:
            return

    def _ask(self, stream: BufferedRWPair) -> None:
        request = b""
        while line := stream.readline():
            request += line
            if line.strip():
                continue
            (number,) = re.findall(rb"CSeq: (\d+)", request)
            if found := re.search(rb"Authorization: Basic (\S+)", request):
                self.heard.append(base64.b64decode(found[1]).decode())
                return
            answer = b'RTSP/1.0 401 Unauthorized\r\nCSeq: %s\r\nWWW-Authenticate: Basic realm="door"\r\n\r\n' % number
            stream.write(answer)
            stream.flush()
            request = b""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("warden:hush!hush", "warden:hush!hush"),
        ("warden:hush%2F%25hush", "warden:hush/%hush"),
        ("warden:554/hush", "warden:554/hush"),
        ("localhost:123/hush", "localhost:123/hush"),
        ("warden:a/hush?b#hush@c%hush", "warden:a/hush?b#hush@c%hush"),
        ("warden:hush@100%", "warden:hush@100%"),
    ],
)
def test_the_camera_hears_the_password_and_nobody_else_does(written: str, meant: str) -> None:
    with closing(Doorkeeper()) as door:
        # FFmpeg and OpenCV read the environment once, and write where Python doesn't look.
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, f"rtsp://{written}@127.0.0.1:{door.port}/x"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
        )
    assert door.heard == [meant]
    assert "can't be opened" in run.stdout
    assert not re.search("hush|warden|localhost|554|123/", run.stdout + run.stderr)


def test_nothing_is_logged_where_nobody_listens() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, "rtsp://warden:hush@127.0.0.1:9/x"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert run.stderr == ""


@pytest.mark.parametrize("has", ["utils.logging", "setLogLevel", "neither"])
def test_opencv_says_nothing_while_a_camera_is_opened(has: str) -> None:
    level = [3]

    class Logging:
        @staticmethod
        def setLogLevel(new: int) -> int:  # noqa: N802 - OpenCV's name
            before, level[0] = level[0], new
            return before

    class Bare:
        """An OpenCV of 4.5: `utils` without `logging`."""

        utils = type("utils", (), {"logging": Logging} if has == "utils.logging" else {})

    cv2 = type("cv2", (Bare, Logging), {}) if has == "setLogLevel" else Bare
    with captures._opening.of(cv2, "tcp"):
        assert level == [3 if has == "neither" else 0]
    assert level == [3]
