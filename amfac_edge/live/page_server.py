"""The page over HTTP: few threads, small buffers, and nobody waits for a browser that doesn't read."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedIOBase

    from amfac_edge.live.page_access import PageAccess

__all__ = ["PageServer", "Shown"]

_MOST_CONNECTIONS, _MOST_VIEWERS = 24, 8
# A request has to be here, and an answer or a picture to be taken, within this.
_PATIENCE_S = 5.0
_LOOK_S = 0.5
_LARGEST_REQUEST = 16 << 10
_LARGEST_FORM = 2 << 10
# What waits in the kernel is old when it is shown: about one picture.
_SEND_BUFFER = 128 << 10
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
# What shows nobody, and the log-in needs.
_OPEN = {"/page.css", "/page.js", "/favicon.ico"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Connection": "close",
}


class Shown(Protocol):
    """What is served: see `Page`."""

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        ...  # pragma: no cover - a protocol has no body

    def stats(self) -> dict[str, Any]:
        """The figures, JSON."""
        ...  # pragma: no cover - a protocol has no body

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Somebody watches in this block."""
        ...  # pragma: no cover - a protocol has no body

    def picture(self, after: int, wait_s: float) -> tuple[int, bytes] | None:
        """The newest picture as JPEG, with its number."""
        ...  # pragma: no cover - a protocol has no body


class PageServer(socketserver.TCPServer):
    """Listens from construction on, answers from `start` until `close`.

    Args:
        access: says where it listens and whom it answers.
        shown: is served.

    Attributes:
        url: for a browser of this machine, without the token.

    Raises:
        OSError: the address can't be listened on.
    """

    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, access: PageAccess, shown: Shown) -> None:
        self.access = access
        self.shown = shown
        self.address_family = access.family
        self._lock = threading.Lock()
        # Each connection's thread, and when it is hung up on; None while it takes what it is sent.
        self._open: dict[socket.socket, tuple[threading.Thread, float | None]] = {}
        self._viewers = 0
        super().__init__(access.address, _Handler)
        host, port = self.server_address[:2]
        access.address = (access.address[0], port)
        named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))  # noqa: S104 - compared, not bound
        self.url = f"http://[{named}]:{port}/" if ":" in named else f"http://{named}:{port}/"
        self._thread = threading.Thread(target=self.serve_forever, args=(_LOOK_S,), name="page", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and hang up."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            _hang_up(connection)
        for thread, _ in connections.values():
            thread.join(_PATIENCE_S)

    @contextlib.contextmanager
    def a_viewer(self) -> Iterator[bool]:
        """Whether there is place for one more who watches; it is taken in this block."""
        with self._lock:
            place = self._viewers < _MOST_VIEWERS
            self._viewers += place
        try:
            yield place
        finally:
            with self._lock:
                self._viewers -= place

    def in_time(self, connection: socket.socket, *, bounded: bool) -> None:
        """Hang up on the connection when its time is over, or let it be."""
        with self._lock:
            if connection in self._open:
                deadline = time.monotonic() + _PATIENCE_S if bounded else None
                self._open[connection] = (self._open[connection][0], deadline)

    # ------------------------------------------------------------------------------------ called by serve_forever

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the base class
        """Answer in a thread, where there is one left."""
        thread = threading.Thread(target=self._answer, args=(request, client_address), name="page client", daemon=True)
        with self._lock:
            full = len(self._open) >= _MOST_CONNECTIONS
            if not full:
                self._open[request] = (thread, time.monotonic() + _PATIENCE_S)
        if full:
            request.settimeout(0)
            with contextlib.suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        thread.start()

    def service_actions(self) -> None:
        """Hang up on who took too long."""
        now = time.monotonic()
        with self._lock:
            late = [each for each, (_, deadline) in self._open.items() if deadline is not None and now > deadline]
        for connection in late:
            _hang_up(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a browser that goes away is no fault, and a request may hold what belongs into no log."""

    def _answer(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the base class
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - whatever it is, it ends this connection only
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open.pop(request, None)


class _Bounded:
    """A request, of which no more than so many bytes are read."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left = _LARGEST_REQUEST

    def readline(self, limit: int = -1) -> bytes:
        """As of a file; an error past the bound."""
        line = self._stream.readline(min(limit, self._left) if limit >= 0 else self._left)
        self._left -= len(line)
        if self._left <= 0:
            raise ConnectionError("the request is too large")
        return line

    def read(self, size: int) -> bytes:
        """As of a file."""
        return self._stream.read(min(size, self._left))

    def close(self) -> None:
        """As of a file."""
        self._stream.close()


class _Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "amfac-edge", ""
    timeout = _PATIENCE_S
    disable_nagle_algorithm = True
    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride] - nobody else makes one

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        super().setup()
        self.rfile = cast("Any", _Bounded(self.rfile))

    def handle(self) -> None:
        # One request a connection: a browser that keeps a second one waiting would keep a thread waiting.
        self.handle_one_request()

    def log_message(  # pyright: ignore[reportIncompatibleMethodOverride] - its arguments come by position
        self, *_: object
    ) -> None:
        """Nothing: who watches is nobody's business, and headers hold the token."""

    def version_string(self) -> str:
        return self.server_version

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        self._send(code, f"{code} {message or ''}\n".encode(), "text/plain; charset=utf-8")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self._is_refused(path):
            return
        if path in _FILES:
            name, kind = _FILES[path]
            self._send(200, _asset(name), kind)
        elif path == "/favicon.ico":
            self._send(204, b"", "image/x-icon")
        elif path == "/stats.json":
            self._send(200, json.dumps(self.server.shown.stats()).encode(), "application/json")
        elif path in {"/stream.mjpg", "/snapshot.jpg"}:
            self._watch(self._stream if path == "/stream.mjpg" else self._snapshot)
        else:
            self._send(404, b"404 nothing here\n", "text/plain; charset=utf-8")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_from_here(path):
            return
        access, length = self.server.access, self.headers.get("Content-Length", "")
        if path != "/login" or access.token is None:
            self._send(404, b"404 nothing here\n", "text/plain; charset=utf-8")
            return
        if not length.isdecimal() or int(length) > _LARGEST_FORM:
            self._send(413, b"413 too long\n", "text/plain; charset=utf-8")
            return
        form = parse_qs(self.rfile.read(int(length)).decode("latin-1"))
        if access.is_token(form.get("token", [""])[0].strip()):
            self._send(303, b"", "text/plain", {"Location": "/", "Set-Cookie": access.cookie()})
        else:
            self._send(403, _asset("page_login.html").replace(b"<!-- wrong -->", b"That was not the token."), _HTML)

    def _is_refused(self, path: str) -> bool:
        """Whether the request was answered already, since it may not see what it asks for."""
        if not self._is_from_here(path):
            return True
        if path in _OPEN or self.server.access.admits(self.headers.get("Authorization"), self.headers.get("Cookie")):
            return False
        if path == "/":
            self._send(401, _asset("page_login.html"), _HTML)
        else:
            self._send(401, b"401 token needed\n", "text/plain; charset=utf-8", {"WWW-Authenticate": "Bearer"})
        return True

    def _is_from_here(self, path: str) -> bool:
        """Whether it is asked by a name of ours, and not by a page of somebody else's; answered where it is not."""
        if not self.server.access.knows_host(self.headers.get("Host")):
            self._send(421, b"421 not a name of this machine; use its address\n", "text/plain; charset=utf-8")
            return False
        elsewhere = self.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
        if elsewhere and (path != "/" or self.command == "POST"):
            self._send(403, b"403 asked by another page\n", "text/plain; charset=utf-8")
            return False
        return True

    def _watch(self, show: Callable[[], None]) -> None:
        if self.command == "HEAD":
            self._send(200, b"", "image/jpeg")
            return
        with self.server.a_viewer() as place, contextlib.ExitStack() as watching:
            if not place:
                self._send(503, b"503 too many watch already\n", "text/plain; charset=utf-8", {"Retry-After": "5"})
                return
            watching.enter_context(self.server.shown.watched())
            # From here on each picture has a time of its own.
            self.server.in_time(self.request, bounded=False)
            show()

    def _snapshot(self) -> None:
        picture = self.server.shown.picture(0, _PATIENCE_S)
        if picture is None:
            self._send(503, b"503 no frame yet\n", "text/plain; charset=utf-8", {"Retry-After": "1"})
        else:
            self._send(200, picture[1], "image/jpeg")

    def _stream(self) -> None:
        self._start(200, "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.wfile.write(b"--frame\r\n")
        number, shown = 0, self.server.shown
        while not shown.closed:
            picture = shown.picture(number, _LOOK_S)
            if picture is None:
                if self._is_gone():
                    return
                continue
            number, content = picture
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            # A browser shows a part when the next one begins. `sendall` has five seconds for all of it.
            self.request.sendall(head + content + b"\r\n--frame\r\n")

    def _is_gone(self) -> bool:
        """Whether the browser hung up: while no frames come, nothing is sent that would tell."""
        readable, _, _ = select.select([self.request], [], [], 0)
        return bool(readable) and not self.request.recv(1024)

    def _send(self, code: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self._start(code, kind)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.request.sendall(content)

    def _start(self, code: int, kind: str) -> None:
        self.close_connection = True
        self.send_response(code)
        self.send_header("Content-Type", kind)
        for name, value in _HEADERS.items():
            self.send_header(name, value)


_HTML = "text/html; charset=utf-8"


@cache
def _asset(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
