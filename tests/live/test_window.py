"""The window, on a screen of memory where Xvfb is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from amfac_edge.errors import MachineError
from amfac_edge.keypoints import skeleton
from amfac_edge.live import Painter, Window, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amfac_edge.live import PosedFrame

PAINTER = Painter(skeleton("coco-17"), ids=True)
SHOWN = """
import cv2, sys
sys.path.insert(0, {tests!r})
from conftest import made_frame
from amfac_edge.keypoints import skeleton
from amfac_edge.live import Painter, Window
with Window(Painter(skeleton("coco-17"), ids=True)) as window:
    for index in range(20):
        window.add(made_frame(index, size=(240, 320)))
        cv2.waitKey(10)
    x, y, width, height = cv2.getWindowImageRect("amfac-run (q ends)")
    print(window.ended, width, height)
"""


@pytest.fixture
def screen() -> Iterator[str]:
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("no Xvfb here: apt install xvfb")
    read, write = os.pipe()
    command = [server, "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
    finally:
        process.terminate()
        process.wait(30)


def test_a_real_window_shows_the_frames(screen: str, request: pytest.FixtureRequest) -> None:
    if "GUI:                           NONE" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has no windows")
    program = SHOWN.format(tests=str(request.path.parent))
    environment = {**os.environ, "DISPLAY": screen, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("WAYLAND_DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "False"
    assert (int(done.stdout.split()[1]), int(done.stdout.split()[2])) >= (300, 200)


def test_without_a_screen_one_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(MachineError, match="no screen here") as caught:
        Window(PAINTER)
    assert "--page 8080" in caught.value.cure


def test_a_screen_that_does_not_answer_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(MachineError, match=r"--show: .*(:987|without windows)"):
        Window(PAINTER)


def test_an_opencv_without_windows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window, "call_in_child", lambda *_, **__: "The function is not implemented")
    with pytest.raises(MachineError, match="built without windows") as caught:
        Window(PAINTER)
    assert "opencv-python-headless" in caught.value.cure

    def not_implemented(_: str) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", not_implemented)
    assert "not implemented" in str(window.open_and_close())


@pytest.mark.parametrize(
    ("key", "visible", "ended"), [(-1, 1, False), (ord("q"), 1, True), (27, 1, True), (-1, 0, True)]
)
def test_what_ends_it(
    key: int, visible: int, *, ended: bool, monkeypatch: pytest.MonkeyPatch, posed_frame: Callable[..., PosedFrame]
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(window, "_require_a_screen", lambda: None)
    for name, value in (
        ("namedWindow", None),
        ("resizeWindow", None),
        ("destroyAllWindows", None),
        ("waitKey", key),
        ("getWindowProperty", visible),
    ):
        monkeypatch.setattr(cv2, name, lambda *_, _value=value: _value)
    monkeypatch.setattr(cv2, "imshow", lambda _, picture: shown.append(picture))
    posed = posed_frame()
    with Window(PAINTER) as opened:
        opened.add(posed)
        assert opened.ended is ended
    assert shown[0].shape == posed.frame.image.shape
    assert (shown[0] != posed.frame.image).any()
