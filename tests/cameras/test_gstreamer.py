"""Real pipelines of GStreamer, by PyGObject and by an OpenCV that has it, as `make gstreamer` unpacks them.

Each is for the system's Python and runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("cv2")

TREE = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys, threading
library, source, open_s = sys.argv[1:]
from amfac_edge.errors import AmfacError
try:
    from amfac_edge.cameras import CameraLimits, camera_address, open_camera
    from amfac_edge.cameras.captures import opencv_has_gstreamer
    from amfac_edge.cameras.gstreamer import pygobject_has_gstreamer
    here = {"opencv": opencv_has_gstreamer, "gstreamer": pygobject_has_gstreamer}[library]()
    absent = None if here else "for another Python, or lacks a library"
except (ImportError, AmfacError) as error:
    absent = str(error).strip().splitlines()[-1]
if absent:
    print(json.dumps({"absent": absent}))
    raise SystemExit
try:
    with open_camera(camera_address(source), CameraLimits(open_s=float(open_s), run_s=20)) as source:
        frames = [frame for _, frame in zip(range(5), source)]
        last = frames[-1]
        told = {"shape": last.image.shape, "pixel": last.image[0, 0].tolist()}
        print(json.dumps({**told, "fps": source.fps, "time": last.source_time}))
except AmfacError as error:
    readers = [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]
    for reader in readers:
        reader.join(10)
    print(json.dumps({"error": str(error), "left": sum(reader.is_alive() for reader in readers)}))
"""
TEST_PICTURE = "gst:videotestsrc pattern={} is-live=true ! video/x-raw,{}width={},height={},framerate={}/1"
Told = dict[str, Any]


def told_of(source: str, library: str, open_s: float = 10.0) -> Told:
    """What the program tells of a source; `library` is what has GStreamer, and the folder in .make."""
    unpacked = TREE / ".make" / library
    plugins = next(iter(unpacked.glob("usr/lib/*/gstreamer-1.0")), None)
    if plugins is None:
        pytest.skip("no GStreamer here: make gstreamer")
    libraries = [plugins.parent, *(plugins.parent / name for name in ("blas", "lapack", "pulseaudio"))]
    libraries += [unpacked / "usr/lib", *unpacked.glob("lib/*-linux-gnu")]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TREE}:{unpacked / 'usr/lib/python3/dist-packages'}",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "GI_TYPELIB_PATH": str(plugins.parent / "girepository-1.0"),
        "GST_PLUGIN_SYSTEM_PATH": str(plugins),
        "GST_PLUGIN_SCANNER": str(plugins.parent / "gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"),
        "GST_REGISTRY": str(unpacked / "registry.bin"),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, library, source, str(open_s)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "hush" not in run.stdout + run.stderr
    told: Told = json.loads(run.stdout)
    if "absent" in told:
        pytest.skip(f".make/{library} of make gstreamer: {told['absent']}")
    return told


@pytest.fixture(params=["gstreamer", "opencv"])
def read(request: pytest.FixtureRequest) -> Callable[[str], Told]:
    """Reads a source by PyGObject, or by OpenCV."""
    return lambda source: told_of(source, request.param)


def test_a_pipeline_without_a_sink_gives_bgr_with_padded_rows(read: Callable[[str], Told]) -> None:
    told = read(TEST_PICTURE.format("blue", "", 322, 240, 25))
    assert (told["shape"], told["fps"]) == ([240, 322, 3], 25.0)
    assert told["pixel"] == pytest.approx([255, 0, 0], abs=3)
    assert told["time"] > 0


@pytest.mark.parametrize("name", ["", "name=amfac_appsink "])
def test_bgrx_is_taken_as_it_is(read: Callable[[str], Told], name: str) -> None:
    told = read(
        TEST_PICTURE.format("red", "format=BGRx,", 64, 48, 30) + f" ! appsink {name}drop=true max-buffers=1 sync=false"
    )
    assert told["shape"] == [48, 64, 4]
    assert told["pixel"][:3] == pytest.approx([0, 0, 255], abs=3)


def test_opencv_does_not_know_a_sink_by_another_name() -> None:
    told = told_of("gst:videotestsrc ! video/x-raw,format=BGR ! appsink name=frames", "opencv")
    assert re.search(r"can't be opened\n.*must hold \"appsink\"", told["error"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gst:nosuch user-pw=hush ! fakesink", 'no element "nosuch"'),
        ("gst:videotestsrc ! video/x-raw,format=GRAY8 ! appsink", "its pictures are GRAY8, not BGR or BGRx"),
        ("csi://0", 'csi://0: .*no element "nvarguscamerasrc"'),
    ],
)
def test_what_is_wrong_with_a_pipeline(source: str, message: str) -> None:
    assert re.search(message, told_of(source, "gstreamer")["error"])


def test_a_reader_of_a_silent_pipeline_ends_with_its_source() -> None:
    """Else the pipeline would go on, and with it the camera be taken."""
    told = told_of("gst:appsrc ! video/x-raw,format=BGR,width=64,height=48,framerate=30/1", "gstreamer", open_s=0.5)
    assert "no frame within 0.5 s" in told["error"]
    assert told["left"] == 0


def test_opencv_does_not_open_what_lacks_an_element() -> None:
    assert "csi://0: can't be opened" in told_of("csi://0", "opencv")["error"]
