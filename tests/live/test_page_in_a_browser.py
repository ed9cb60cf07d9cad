"""The page in a real browser: Chromium, told what to do by ChromeDriver's protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.keypoints import skeleton
from amfac_edge.live import Page, PageAccess, Painter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from amfac_edge.live import PosedFrame

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]
TOKEN = "Zk3-" * 6
FLAGS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=420,860"
)


class Browser:
    """One session of ChromeDriver."""

    def __init__(self, port: int, profile: Path) -> None:
        self._root = f"http://127.0.0.1:{port}"
        options = {"args": [*(f"--{flag}" for flag in FLAGS.split()), f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, content, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:  # noqa: ANN401 - JSON
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, seconds: float = 30) -> None:
        ends = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            assert time.monotonic() < ends, (script, self.run("return document.body.innerText"))
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the console says is wrong: a policy that forbids a part of our own page, a script's error."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in {"WARNING", "SEVERE"}]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def close(self) -> None:
        self._call("DELETE", self._session)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        pytest.skip("no Chromium with its driver here: apt install chromium chromium-driver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        opened = Browser(port, tmp_path / "profile")
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def _running(access: PageAccess, frame: PosedFrame) -> Iterator[Page]:
    """A page whose frames keep coming."""
    ended = threading.Event()
    with Page(access, Painter(skeleton("coco-17"), ids=True, longest=1280)) as page:
        page.add(frame)

        def feed() -> None:
            while not ended.wait(0.04):
                page.add(frame)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield page
        finally:
            ended.set()
            feeder.join()


def test_the_picture_moves_and_comes_back_when_the_app_does(
    browser: Browser, tmp_path: Path, posed_frame: Callable[..., PosedFrame]
) -> None:
    frame = posed_frame(41, people=2, size=(240, 320))
    shown = "document.getElementById('picture').naturalWidth === 320"
    with _running(PageAccess("127.0.0.1", 0, None), frame) as page:
        browser.open(page.url)
        browser.wait(shown)
        browser.wait("document.getElementById('people').textContent === '2'")
        browser.wait("document.getElementById('state').textContent === 'live'")
        assert browser.run("return document.getElementById('frame').textContent") == "41"
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")  # a phone's width
        assert page.stats()["viewers"] == 1
        # Figures that only a camera has come with it.
        tile = "document.getElementById('age').parentElement"
        assert browser.run(f"return {tile}.checkVisibility()") is False
        page.tell({"age_ms": {"median": 41.6}, "arrived": 90, "dropped": 30})
        browser.wait(f"{tile}.checkVisibility()")
        assert browser.run(f"return {tile}.innerText").split("\n")[-1] == "42"
        assert browser.run("return document.getElementById('dropped').textContent") == "30 of 90"
        browser.screenshot(tmp_path / "live.png")
        # What the page loads is all from the app.
        urls = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert urls
        assert all(url.startswith(page.url) for url in urls)
        assert browser.complaints() == []
    port = int(page.url.rstrip("/").rpartition(":")[2])
    browser.wait("document.getElementById('state').textContent.includes('no connection')")
    with _running(PageAccess("127.0.0.1", port, None), frame) as again:
        browser.wait("document.getElementById('state').textContent === 'live'")
        ends = time.monotonic() + 20
        while again.stats()["viewers"] != 1:
            assert time.monotonic() < ends
            time.sleep(0.1)


def test_a_token_opens_it_and_stays_in_no_address(
    browser: Browser, tmp_path: Path, posed_frame: Callable[..., PosedFrame]
) -> None:
    with _running(PageAccess("127.0.0.1", 0, TOKEN), posed_frame(size=(240, 320))) as page:
        browser.open(page.url)
        assert browser.run("return document.getElementById('picture')") is None
        browser.screenshot(tmp_path / "login.png")
        send = "document.getElementById('token').value = '{}'; document.querySelector('form').requestSubmit();"
        browser.run(send.format("wrong"))
        browser.wait("document.body.innerText.includes('That was not the token')")
        browser.run(send.format(TOKEN))
        browser.wait("document.getElementById('picture')?.naturalWidth === 320")
        assert browser.run("return location.href") == page.url
        assert browser.run("return document.cookie") == ""
