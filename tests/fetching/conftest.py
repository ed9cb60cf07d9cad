"""A publisher on this machine: a real HTTP server whose manners a test chooses."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.public_model import load_public_model
from amfac_edge.fetching import Patience, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from amfac_edge.declared.public_model import PublicModel

MODEL = bytes(range(256)) * 1500


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    publisher: SimpleNamespace
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        publisher = self.publisher
        publisher.asked.append(self.headers.get("Range", ""))
        publisher.began.set()
        if publisher.delay_s:
            publisher.hold.wait(publisher.delay_s)
        if publisher.refusals:
            self._end(publisher.refusals.pop(0))
        elif self.path in publisher.moved:
            self._end(302, Location=publisher.moved[self.path])
        elif self.path not in publisher.files:
            self._end(404)
        else:
            self._send(publisher.files[self.path])

    def _send(self, content: bytes) -> None:
        publisher, start = self.publisher, 0
        asked = self.headers.get("Range", "")
        if asked and publisher.ranges and self.headers.get("If-Range") == publisher.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._end(416, **{"Content-Range": f"bytes */{len(content)}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body) if publisher.says is None else publisher.says))
        if publisher.encoding:
            self.send_header("Content-Encoding", publisher.encoding)
        if publisher.etag:
            self.send_header("ETag", publisher.etag)
        self.end_headers()
        if publisher.stalls:
            self.wfile.write(body[: publisher.stalls])
            publisher.hold.wait(30)
        else:
            self.wfile.write(body[: publisher.drops.pop(0)] if publisher.drops else body)

    def _end(self, status: int, **headers: str) -> None:
        self.send_response(status, self.publisher.phrase)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that went away is what some tests are about."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A running server: what it has, how it behaves, and what it was asked."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    publisher = SimpleNamespace(
        files={},  # content by path
        etag='"first"',  # of all files; empty for a server that states none
        ranges=True,  # whether it knows Range
        drops=[],  # after how many bytes of its body each answer, in turn, is cut off
        stalls=0,  # after how many bytes each answer stops, the connection staying open
        refusals=[],  # status codes of the first answers, in turn
        phrase=None,  # in place of the usual words for a status
        encoding="",  # Content-Encoding of all files
        says=None,  # length that it announces in place of the true one
        moved={},  # target by path
        delay_s=0.0,  # before each answer
        asked=[],  # the Range header of each request, empty where there was none
        began=threading.Event(),  # set by the first request
        hold=threading.Event(),  # ends the delays early
    )
    handler = type("Handler", (_Handler,), {"publisher": publisher})
    server = _Server(("127.0.0.1", 0), handler)
    publisher.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    publisher.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder of models, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "amfac-edge" / "models"


@pytest.fixture
def entry(publisher: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """Write a list entry of the publisher's file; the words are whole tables in TOML, None leaves one out."""

    def entry(path: str = "/net.onnx", **tables: str | None) -> Path:
        stated = {
            "download": f'url = "{publisher.address}{path}"',
            "model": f'bytes = {len(MODEL)}\nsha256 = "{sha256(MODEL)}"',
            "licence": 'spdx = "Apache-2.0"\nsource = "https://example.org/LICENSE"',
        } | tables
        text = 'kind = "pose"\nrecipe = "rtmpose-256x192"\n'
        text += "".join(f"[{name}]\n{lines}\n" for name, lines in stated.items() if lines is not None)
        toml = tmp_path / "net.toml"
        toml.write_text(text)
        return toml

    return entry


@pytest.fixture
def model(entry: Callable[..., Path], publisher: SimpleNamespace) -> PublicModel:
    """A listed model that is there to be fetched, without an archive."""
    publisher.files["/net.onnx"] = MODEL
    return load_public_model(entry())


@pytest.fixture
def said() -> list[str]:
    """What the user was told."""
    return []


@pytest.fixture
def watch(said: list[str]) -> Watch:
    return Watch(say=said.append)


@pytest.fixture
def quick() -> Patience:
    """A client that doesn't wait."""
    return Patience(tries=3, pause_s=0.0, timeout_s=5.0)
