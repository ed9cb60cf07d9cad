"""The page over real connections on loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from amfac_edge.errors import FrameError, InputError
from amfac_edge.keypoints import skeleton
from amfac_edge.live import Page, PageAccess, Painter, page_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amfac_edge.live import PosedFrame

    Making = Callable[..., PosedFrame]

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
TOKEN = "Zk3-" * 6
COLOUR = (40, 90, 200)
PAINTER = Painter(skeleton("coco-17"), ids=True, longest=1280)


@pytest.fixture
def page() -> Iterator[Page]:
    with Page(PageAccess("127.0.0.1", 0, None), PAINTER, most_fps=500) as opened:
        yield opened


@pytest.fixture
def guarded() -> Iterator[Page]:
    with Page(PageAccess("127.0.0.1", 0, TOKEN), PAINTER, most_fps=500) as opened:
        yield opened


def _port(page: Page) -> int:
    return int(page.url.rstrip("/").rpartition(":")[2])


def _client(page: Page) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", _port(page), timeout=10)


def _noise(posed_frame: Making) -> list[PosedFrame]:
    """Frames that are some 300 kB each as JPEG."""
    return [posed_frame(index, noise=True, size=(480, 640)) for index in range(4)]


def _ask(
    page: Page, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(_client(page)) as connection:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response, response.read()


def _connected(page: Page, path: str = "/stream.mjpg", receive: int | None = None) -> socket.socket:
    """A raw connection that has asked for `path`."""
    connection = socket.socket()
    if receive:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", _port(page)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return connection


def _wait(condition: object, seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.01)


@contextmanager
def _fed(page: Page, frames: list[PosedFrame]) -> Iterator[list[int]]:
    """Frames keep coming in this block, 100 a second; the list has the milliseconds that each `add` took."""
    ended, taken = threading.Event(), list[int]()

    def feed() -> None:
        while not ended.wait(0.01):
            began = time.perf_counter()
            page.add(frames[len(taken) % len(frames)])
            taken.append(round((time.perf_counter() - began) * 1e3))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


def _pictures(stream: http.client.HTTPResponse, count: int) -> list[bytes]:
    assert stream.readline() == b"--frame\r\n"
    pictures: list[bytes] = []
    while len(pictures) < count:
        head = b""
        while (line := stream.readline()) != b"\r\n":
            head += line
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        pictures.append(stream.read(length))
        assert stream.readline() + stream.readline() == b"\r\n--frame\r\n"
    return pictures


def test_the_page_and_its_parts_with_headers_that_keep_others_out(page: Page) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        response, body = _ask(page, path)
        assert response.status == 200
        assert kind in str(response.headers["Content-Type"])
        assert len(body) > 200
        assert "default-src 'none'" in str(response.headers["Content-Security-Policy"])
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in str(response.headers)
        # Offline: nothing of another place, and nothing inline, which the policy forbids.
        assert b"://" not in body
        assert b"style=" not in body
        assert b"onclick" not in body
    assert _ask(page, "/nothing")[0].status == 404
    assert _ask(page, "/../page_access.py")[0].status == 404
    assert _ask(page, "/", method="DELETE")[0].status == 501
    assert _ask(page, "/", method="HEAD")[1] == b""
    assert _ask(page, "/login", method="POST", body="token=x")[0].status == 404


def test_a_snapshot_is_the_newest_frame_with_its_people_drawn(page: Page, posed_frame: Making) -> None:
    page.add(posed_frame(0, people=0))
    page.add(posed_frame(1))
    response, body = _ask(page, "/snapshot.jpg")
    assert response.headers["Content-Type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (120, 160, 3)
    assert np.abs(picture[5, 5].astype(int) - COLOUR).max() < 12
    assert np.abs(picture[70, 50].astype(int) - COLOUR).max() > 40  # the middle of the joints


def test_a_large_frame_is_shrunk_with_its_people(page: Page, posed_frame: Making) -> None:
    page.add(posed_frame(0, size=(1440, 2560)))
    picture = cv2.imdecode(np.frombuffer(_ask(page, "/snapshot.jpg")[1], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (720, 1280, 3)
    assert np.abs(picture[35, 25].astype(int) - COLOUR).max() > 40


def test_before_the_first_frame_there_is_nothing_to_show(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_PATIENCE_S", 0.05)
    response, _ = _ask(page, "/snapshot.jpg")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    stats = json.loads(_ask(page, "/stats.json")[1])
    assert (stats["frames"], stats["frame"], stats["fps"]) == (0, None, None)


def test_figures(page: Page, posed_frame: Making) -> None:
    page.add(posed_frame(3, people=2))
    page.add(posed_frame(4, people=2))
    page.tell({"dropped": 5})
    stats = json.loads(_ask(page, "/stats.json")[1])
    assert stats["stages_ms"] == {"boxes": 2.0, "crop": 1.0, "network": 5.0, "decode": 0.5}
    assert (stats["frames"], stats["frame"], stats["people"], stats["ids"]) == (2, 4, 2, [7, 8])
    assert (stats["size"], stats["name"], stats["run"], stats["viewers"]) == ([160, 120], "made", {"dropped": 5}, 0)
    assert stats["fps"] > 0
    assert stats["since_frame_s"] >= 0


def test_a_stream_goes_on_while_frames_come(page: Page, posed_frame: Making) -> None:
    with (
        _fed(page, [posed_frame()]),
        closing(_client(page)) as connection,
    ):
        connection.request("GET", "/stream.mjpg")
        stream = connection.getresponse()
        assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        pictures = _pictures(stream, 5)
    assert all(picture.startswith(b"\xff\xd8") and picture.endswith(b"\xff\xd9") for picture in pictures)


def test_nothing_is_drawn_while_nobody_watches(posed_frame: Making) -> None:
    drawn: list[int] = []

    def painted(posed: PosedFrame) -> np.ndarray:
        drawn.append(posed.frame.index)
        return posed.frame.image

    with Page(PageAccess("127.0.0.1", 0, None), painted, most_fps=500) as page:  # type: ignore[arg-type]
        for index in range(50):
            page.add(posed_frame(index))
        _ask(page, "/stats.json")
        assert drawn == []
        _ask(page, "/snapshot.jpg")
        assert drawn == [49]
        with closing(_connected(page)):
            _wait(lambda: page.stats()["viewers"] == 1)
            page.add(posed_frame(50))
            _wait(lambda: drawn[-1] == 50)
        # A browser that has gone is noticed while no frame comes, too.
        _wait(lambda: page.stats()["viewers"] == 0)
        page.add(posed_frame(51))
        assert 51 not in drawn


def test_one_that_never_reads_is_hung_up_on_and_disturbs_nobody(
    page: Page, monkeypatch: pytest.MonkeyPatch, posed_frame: Making
) -> None:
    monkeypatch.setattr(page_server._Handler, "timeout", 1.0)
    with (
        _fed(page, _noise(posed_frame)) as taken,
        closing(_connected(page, receive=4096)),
    ):
        _wait(lambda: page.stats()["viewers"] == 1)
        with closing(_client(page)) as other:
            other.request("GET", "/stream.mjpg")
            # Noise of this size is some 300 kB a picture: the one that never reads is stuck at the first or second.
            assert len(_pictures(other.getresponse(), 20)) == 20
        before = len(taken)
        _wait(lambda: page.stats()["viewers"] == 0)
        _wait(lambda: len(taken) > before + 10)


def test_who_is_slow_gets_the_newest_picture(page: Page, posed_frame: Making) -> None:
    """A reader that takes a picture now and then finds the newest behind what the kernel holds."""
    with (
        _fed(page, _noise(posed_frame)),
        closing(_connected(page, receive=4096)) as connection,
    ):
        stream = http.client.HTTPResponse(connection)
        stream.begin()
        _pictures(stream, 1)
        began = page.stats()["frames"]
        _wait(lambda: page.stats()["frames"] > began + 200)
        assert stream.readline()  # the head of the second picture
        # 200 frames came meanwhile. Were they queued, they would be some 60 MB of pictures.
        number = page.picture(0, 1)
        assert number is not None
        assert number[0] > began + 100


def test_only_so_many_watch_and_only_so_many_connect(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_MOST_VIEWERS", 2)
    monkeypatch.setattr(page_server, "_MOST_CONNECTIONS", 4)
    threads = threading.active_count()
    with closing(_connected(page)), closing(_connected(page)):
        _wait(lambda: page.stats()["viewers"] == 2)
        assert _ask(page, "/snapshot.jpg")[0].status == 503
        assert _ask(page, "/stats.json")[0].status == 200
        idle = [socket.create_connection(("127.0.0.1", _port(page)), timeout=10) for _ in range(30)]
        _wait(lambda: threading.active_count() >= threads + 4)
        assert threading.active_count() <= threads + 4
        assert b"503 Service Unavailable" in idle[-1].recv(100)
        for each in idle:
            each.close()
    _wait(lambda: threading.active_count() == threads)


def _until_hung_up(connection: socket.socket, words: bytes, apart_s: float) -> None:
    ends = time.monotonic() + 20
    with contextlib.suppress(OSError):  # reset or broken pipe, as it falls
        while time.monotonic() < ends:
            connection.sendall(words)
            time.sleep(apart_s)
    assert time.monotonic() < ends


def test_a_request_that_never_ends_is_hung_up_on(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_PATIENCE_S", 0.3)
    with closing(socket.create_connection(("127.0.0.1", _port(page)), timeout=10)) as connection:
        _until_hung_up(connection, b"G", 0.05)
    with closing(socket.create_connection(("127.0.0.1", _port(page)), timeout=10)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        _until_hung_up(connection, b"A: " + b"b" * 10_000 + b"\r\n", 0.001)
    assert _ask(page, "/stats.json")[0].status == 200


def test_a_name_that_somebody_else_pointed_here_is_not_answered(page: Page) -> None:
    assert _ask(page, "/", Host="evil.example")[0].status == 421
    assert _ask(page, "/stats.json", Host=f"localhost:{_port(page)}")[0].status == 200


def test_pages_of_others_get_no_pictures(page: Page, posed_frame: Making) -> None:
    page.add(posed_frame())
    assert _ask(page, "/snapshot.jpg", Sec_Fetch_Site="cross-site")[0].status == 403
    assert _ask(page, "/snapshot.jpg", Sec_Fetch_Site="same-origin")[0].status == 200
    assert _ask(page, "/", Sec_Fetch_Site="cross-site")[0].status == 200  # a link that somebody followed


def test_with_a_token_nothing_is_seen_without_it(
    guarded: Page, capfd: pytest.CaptureFixture[str], posed_frame: Making
) -> None:
    guarded.add(posed_frame())
    for path in ("/", "/stats.json", "/snapshot.jpg", "/stream.mjpg", f"/?token={TOKEN}"):
        response, body = _ask(guarded, path)
        assert response.status == 401
        assert b"made" not in body
    assert b'type="password"' in _ask(guarded, "/")[1]
    assert _ask(guarded, "/page.css")[0].status == 200
    assert _ask(guarded, "/stats.json", Authorization=f"Bearer {TOKEN}")[0].status == 200

    form = {"Content_Type": "application/x-www-form-urlencoded"}
    response, body = _ask(guarded, "/login", "POST", "token=wrong", **form)
    assert (response.status, response.headers["Set-Cookie"]) == (403, None)
    assert b"That was not the token" in body
    assert _ask(guarded, "/login", "POST", "x" * 5000, **form)[0].status == 413
    response, _ = _ask(guarded, "/login", "POST", f"token={TOKEN}", **form)
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
    assert _ask(guarded, "/snapshot.jpg", Cookie=cookie)[0].status == 200
    assert TOKEN not in "".join(capfd.readouterr())


def test_a_port_that_is_taken_is_told(page: Page) -> None:
    with pytest.raises(InputError, match=rf"--page: 127\.0\.0\.1:{_port(page)} can't be listened on"):
        Page(PageAccess("127.0.0.1", _port(page), None), PAINTER)


def test_the_end_hangs_up_on_everybody_and_leaves_no_thread(posed_frame: Making) -> None:
    threads = threading.active_count()
    page = Page(PageAccess("127.0.0.1", 0, None), PAINTER)
    page.add(posed_frame(noise=True, size=(480, 640)))
    with closing(_connected(page)) as reader, closing(_connected(page, receive=4096)):
        _wait(lambda: page.stats()["viewers"] == 2)
        began = time.monotonic()
        page.close()
        assert time.monotonic() - began < page_server._PATIENCE_S
        while reader.recv(1 << 16):
            pass
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        _ask(page, "/")
    page.close()


def test_a_frame_that_can_not_be_drawn_is_told_to_the_loop(posed_frame: Making) -> None:
    def fails(_: PosedFrame) -> np.ndarray:
        raise ValueError("no picture")

    with Page(PageAccess("127.0.0.1", 0, None), fails, most_fps=500) as page:  # type: ignore[arg-type]
        page.add(posed_frame())
        with closing(_connected(page)):
            _wait(lambda: page._fault is not None)
        with pytest.raises(FrameError, match="the page can't show a frame: ValueError: no picture"):
            page.add(posed_frame())
