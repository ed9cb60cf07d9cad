"""How old are the frames that an app has in hand? A naive `read` loop beside the newest frame, on one RTSP stream.

    make camera-age        (25 fps, 80 ms of work a frame, a minute; needs make rtsp)

Every picture of the stream carries the time at which it was made, so the age is the true one: encoder, network and
decoder are in it.
"""

# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import cv2

from amfac_edge.cameras import open_source
from tests import made_rtsp

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_AT = (2, 13, 30, 60)


def naive(url: str) -> Iterator[tuple[Any, float]]:
    """One frame after the other, as most examples do it; the second value is unknown here."""
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;udp"
    capture = cv2.VideoCapture(url.partition("?")[0], cv2.CAP_FFMPEG)
    del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
    while True:
        there, image = capture.read()
        if not there:
            return
        yield image, 0.0


def newest(url: str) -> Iterator[tuple[Any, float]]:
    """The newest frame, and how long it waited for the app."""
    with open_source(url) as source:
        for frame in source:
            yield frame.image, frame.waited


def ages(frames: Iterator[tuple[Any, float]], seconds: float, work_s: float) -> list[tuple[float, float, float]]:
    """(seconds since the start, true age, time waited) of each frame in hand."""
    rows = []
    began = time.monotonic()
    for image, waited in frames:
        now = time.monotonic()
        rows.append((now - began, made_rtsp.age_of(image, now), waited))
        if now - began > seconds:
            break
        time.sleep(work_s)
    return rows


def main() -> None:
    """Measure both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--work-ms", type=float, default=80.0)
    arguments = parser.parse_args()
    print(
        f"{'':14}"
        + "".join(f"after {at:>2} s    " for at in SHOWN_AT)
        + "waited for the app, median and max of the last 10 s"
    )
    for name, reader in (("naive loop", naive), ("newest frame", newest)):
        with tempfile.TemporaryDirectory() as folder, made_rtsp.RtspCamera(Path(folder), size=(480, 640)) as camera:
            rows = ages(reader(camera.url), arguments.seconds, arguments.work_ms / 1e3)
        line = f"{name:14}"
        for at in SHOWN_AT:
            near = [age for moment, age, _ in rows if abs(moment - at) < 1]
            line += f"{median(near):>6.3f} s      " if near else f"{'-':>6}        "
        last = [waited for moment, _, waited in rows if moment > arguments.seconds - 10]
        print(line + (f"{median(last):.3f} s, {max(last):.3f} s" if name == "newest frame" else "-"), flush=True)


if __name__ == "__main__":
    main()
