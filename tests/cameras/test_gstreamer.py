"""Real pipelines of GStreamer by PyGObject, as `make gstreamer` unpacks them, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")

TREE = Path(__file__).resolve().parents[2]
UNPACKED = TREE / ".make" / "gstreamer"
PROGRAM = """
import json, sys
from amfac_edge.cameras import CameraLimits, camera_address, open_camera
from amfac_edge.cameras.gstreamer import pygobject_has_gstreamer
from amfac_edge.errors import AmfacError
if not pygobject_has_gstreamer():
    print(json.dumps({"absent": True}))
    raise SystemExit
try:
    with open_camera(camera_address(sys.argv[1]), CameraLimits(open_s=10, run_s=20)) as source:
        frames = [frame for _, frame in zip(range(5), source)]
        last = frames[-1]
        told = {"shape": last.image.shape, "pixel": last.image[0, 0].tolist()}
        print(json.dumps({**told, "fps": source.fps, "time": last.source_time}))
except AmfacError as error:
    print(json.dumps({"error": str(error)}))
"""


def read(source: str) -> dict[str, Any]:
    """What the program tells of a source."""
    libraries = next(iter(UNPACKED.glob("usr/lib/*/gstreamer-1.0")), None)
    if libraries is None:
        pytest.skip("no GStreamer here: make gstreamer")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TREE}:{UNPACKED / 'usr/lib/python3/dist-packages'}",
        "LD_LIBRARY_PATH": str(libraries.parent),
        "GI_TYPELIB_PATH": str(libraries.parent / "girepository-1.0"),
        "GST_PLUGIN_SYSTEM_PATH": str(libraries),
        "GST_PLUGIN_SCANNER": str(libraries.parent / "gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"),
        "GST_REGISTRY": str(UNPACKED / "registry.bin"),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, source],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "hush" not in run.stdout + run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    if told.get("absent"):
        pytest.skip("GStreamer's bindings are for another Python, or lack a library")
    return told


def test_a_pipeline_without_a_sink_gives_bgr_with_padded_rows() -> None:
    told = read("gst:videotestsrc pattern=blue is-live=true ! video/x-raw,width=322,height=240,framerate=25/1")
    assert (told["shape"], told["fps"]) == ([240, 322, 3], 25.0)
    assert told["pixel"] == pytest.approx([255, 0, 0], abs=3)
    assert told["time"] > 0


def test_bgrx_is_taken_as_it_is() -> None:
    told = read(
        "gst:videotestsrc pattern=red is-live=true ! video/x-raw,format=BGRx,width=64,height=48,framerate=30/1 ! "
        "appsink drop=true max-buffers=1 sync=false"
    )
    assert told["shape"] == [48, 64, 4]
    assert told["pixel"][:3] == pytest.approx([0, 0, 255], abs=3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gst:nosuch user-pw=hush ! fakesink", 'no element "nosuch"'),
        ("gst:videotestsrc ! video/x-raw,format=GRAY8 ! appsink", "its pictures are GRAY8, not BGR or BGRx"),
        ("csi://0", 'csi://0: .*no element "nvarguscamerasrc"'),
    ],
)
def test_what_is_wrong_with_a_pipeline(source: str, message: str) -> None:
    assert re.search(message, read(source)["error"])
