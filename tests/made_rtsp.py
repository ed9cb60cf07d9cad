"""A network camera on the loopback address: a real RTSP server and a real encoder, as `make rtsp` unpacks them.

Every picture carries the time at which it was made, as black and white blocks, so that a reader knows its true age.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from numpy.typing import NDArray

UNPACKED = Path(__file__).resolve().parents[1] / ".make" / "rtsp"
BLOCK, BITS, ROW = 16, 24, 12
_LISTENING = "0A"  # proc(5), net/tcp


def missing() -> str | None:
    """Why there is no camera here, None where there is one."""
    if not (UNPACKED / "usr/bin/rtsp-server-perl").is_file() or not (UNPACKED / "ffmpeg").is_file():
        return "no RTSP server here: make rtsp"
    return None if shutil.which("perl") else "no perl here"


def stamped(size: tuple[int, int], now: float) -> NDArray[np.uint8]:
    """A grey picture of (height, width) that says `now`, in seconds."""
    picture = np.full(size, 128, np.uint8)
    value = round(now * 1e3) % (1 << BITS)
    for bit in range(BITS):
        top, left = bit // ROW * BLOCK, bit % ROW * BLOCK
        picture[top : top + BLOCK, left : left + BLOCK] = 235 if value >> bit & 1 else 16
    return picture


def age_of(image: NDArray[np.uint8], now: float) -> float:
    """Seconds since the picture was made; `image` is (H, W, 3) or (H, W, 4)."""
    value = 0
    for bit in range(BITS):
        y, x = bit // ROW * BLOCK + BLOCK // 2, bit % ROW * BLOCK + BLOCK // 2
        value |= int(image[y - 3 : y + 4, x - 3 : x + 4, 1].mean() > 126) << bit
    return ((round(now * 1e3) - value) % (1 << BITS)) / 1e3


class RtspCamera:
    """A server with one stream; `start` begins both.

    Args:
        folder: of the logs.
        size: (height, width) of the pictures.
        fps: frames a second.
        noise: a bitstream filter's rate of damage; 0 sends what was encoded.
    """

    def __init__(self, folder: Path, size: tuple[int, int] = (240, 320), fps: float = 25.0, noise: int = 0) -> None:
        self.folder = folder
        self.size, self.fps, self.noise = size, fps, noise
        self.port, self.source_port, self._media_port = _free_ports()
        self.url = f"rtsp://127.0.0.1:{self.port}/cam0?transport=udp"
        self.with_password = f"rtsp://warden:hush%21hush@127.0.0.1:{self.port}/cam0?transport=udp"
        self.frozen = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._encoder: subprocess.Popen[bytes] | None = None
        self._feeder: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to serve and to send."""
        self.serve()
        self.send()

    def serve(self) -> None:
        """Start the server alone."""
        libraries = [
            UNPACKED / "usr/share/perl5",
            *UNPACKED.glob("usr/lib/*/perl5/5.*"),
            *UNPACKED.glob("usr/share/perl/5.*"),
        ]
        libraries += [*UNPACKED.glob("usr/lib/*/perl/5.*"), *UNPACKED.glob("usr/lib/*/perl-base")]
        command = [
            "perl", str(UNPACKED / "usr/bin/rtsp-server-perl"), "-c", str(self.port), "-s", str(self.source_port),
            "--client_listen_address", "127.0.0.1", "--source_listen_address", "127.0.0.1",
            "--rtp_start_port", str(self._media_port),
        ]  # fmt: skip
        environment = {**os.environ, "PERL5LIB": ":".join(map(str, libraries))}
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _until(lambda: {self.port, self.source_port} <= _listening(), "the RTSP server doesn't listen")

    def send(self) -> None:
        """Start to send pictures."""
        height, width = self.size
        damage = ["-bsf:v", f"noise=amount={self.noise}"] if self.noise else []
        command = [
            str(UNPACKED / "ffmpeg"), "-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "gray",
            "-video_size", f"{width}x{height}", "-framerate", str(self.fps), "-i", "-", "-c:v", "libx264",
            "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", *damage,
            "-f", "rtsp", "-rtsp_transport", "udp", f"rtsp://127.0.0.1:{self.source_port}/cam0",
        ]  # fmt: skip
        self._ended = threading.Event()
        with (self.folder / "encoder.log").open("ab") as log:
            self._encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self._feeder = threading.Thread(target=self._feed, args=(self._encoder, self._ended), daemon=True)
        self._feeder.start()
        # The encoder announces the stream with its first pictures; whoever asks before gets a 404.
        _until(lambda: self.announced() or self._encoder is None, "the stream isn't announced")

    def announced(self) -> bool:
        """Whether the server has the stream."""
        return any(port in range(self._media_port, self._media_port + 80) for port, _, _ in _rows("udp"))

    def stop_sending(self) -> None:
        """End the encoder, which says goodbye; the server stays."""
        self._ended.set()
        if self._feeder is not None:
            self._feeder.join()
        if self._encoder is not None:
            assert self._encoder.stdin is not None
            with contextlib.suppress(OSError):
                self._encoder.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._encoder.wait(5)
            self._encoder.kill()
            self._encoder.wait()
        self._encoder = None

    def kill_server(self) -> None:
        """End the server as a power cut would, and with it the encoder."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = None
        self.stop_sending()

    def __enter__(self) -> RtspCamera:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.kill_server()

    def _feed(self, encoder: subprocess.Popen[bytes], ended: threading.Event) -> None:
        assert encoder.stdin is not None
        due = time.monotonic()
        # A killed server breaks the pipe.
        with contextlib.suppress(OSError, ValueError):
            while not ended.is_set():
                if not self.frozen.is_set():
                    encoder.stdin.write(stamped(self.size, time.monotonic()).tobytes())
                    encoder.stdin.flush()
                due = max(due + 1 / self.fps, time.monotonic() - 0.5)
                ended.wait(max(0.0, due - time.monotonic()))


def _rows(kind: str = "tcp") -> list[tuple[int, int, str]]:
    """Local port, remote port and state of this machine's sockets: read, since tests may open none."""
    lines = Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
    rows = [line.split()[1:4] for line in lines]
    return [(int(here.split(":")[1], 16), int(there.split(":")[1], 16), state) for here, there, state in rows]


def _listening() -> set[int]:
    return {port for port, _, state in _rows() if state == _LISTENING}


def _free_ports() -> tuple[int, int, int]:
    """Of the client's side, of the encoder's, and the first of the media."""
    for _ in range(100):
        first = random.SystemRandom().randrange(20_000, 60_000, 100)
        if not {first, first + 1} & {port for port, _, _ in _rows()}:
            return first, first + 1, first + 10
    message = "no free ports"
    raise RuntimeError(message)


def _until(true: Callable[[], bool], otherwise: str, seconds: float = 20.0) -> None:
    for _ in range(round(seconds / 0.05)):
        if true():
            return
        time.sleep(0.05)
    raise TimeoutError(otherwise)
