"""Several cameras on one engine: each has a thread, and what they ask for together goes through in one batch.

    python examples/several_cameras.py model.plan detector.plan csi://0 csi://1 rtsp://door/stream

It prints a line of JSON for each frame of each camera, and how many frames shared a batch at the end. A batch pays on a
GPU; on a CPU it costs what its crops cost one by one. A camera that ends with an error leaves the others running, and
the exit code says so at the end. Ctrl-C ends them all.
"""

import argparse
import contextlib
import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from amfac_edge import PoseEstimator
from amfac_edge.cameras import FrameSource, open_source
from amfac_edge.errors import AmfacError
from amfac_edge.live import DetectedPeople, pose_line, posed_frames
from amfac_edge.people import Detector, PeopleFollower, Smoothing, open_detector
from amfac_edge.runtime import MicroBatcher

ended = threading.Event()
printing = threading.Lock()


def tell(text: str) -> None:
    """Say that a camera is lost, or back, or what ended it."""
    print(text, file=sys.stderr, flush=True)


def watch(camera: int, source: FrameSource, detector: Detector, batcher: MicroBatcher) -> None:
    """One camera, with a detector and ids of its own, until it ends or the app does."""
    follower = PeopleFollower(batcher.skeleton, smoothing=Smoothing())
    for posed in posed_frames(source, batcher, DetectedPeople(detector), follower):
        with printing:
            print(json.dumps({"camera": camera} | pose_line(posed)), flush=True)
        if ended.is_set():
            break


def let_go(sources: Sequence[FrameSource]) -> None:
    """End what waits for frames; at once, since a camera that is away takes two seconds."""
    ended.set()
    with ThreadPoolExecutor(len(sources)) as closing:
        for source in sources:
            closing.submit(source.close)


def watch_all(engine: str, detector: str, addresses: Sequence[str]) -> int:
    """All cameras, until the last one has ended; the exit code of the first that ended with an error, or 0."""
    code = 0
    with contextlib.ExitStack() as opened:
        estimator = opened.enter_context(PoseEstimator(engine))
        detectors = [opened.enter_context(open_detector(detector)) for _ in addresses]
        sources = [opened.enter_context(open_source(address, tell=tell)) for address in addresses]
        batcher = opened.enter_context(MicroBatcher(estimator, cameras=len(sources), wait_ms=4))
        opened.callback(lambda: tell(f"{batcher.frames} frames with people in {batcher.batches} batches"))
        pool = opened.enter_context(ThreadPoolExecutor(len(sources)))
        # Before the pool waits for its threads, whatever ends this.
        opened.callback(let_go, sources)
        watched = [
            pool.submit(watch, camera, source, finder, batcher)
            for camera, (source, finder) in enumerate(zip(sources, detectors, strict=True))
        ]
        for one in as_completed(watched):
            try:
                one.result()
            except AmfacError as error:  # noqa: PERF203 - once for each camera
                tell(f"camera {watched.index(one)}: {error.problem}. {error.cure}")
                code = code or error.exit_code
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("detector")
    parser.add_argument("sources", nargs="+")
    arguments = parser.parse_args()
    try:
        sys.exit(watch_all(arguments.engine, arguments.detector, arguments.sources))
    except KeyboardInterrupt:
        pass
    except AmfacError as error:
        tell(f"{error.problem}. {error.cure}")
        sys.exit(error.exit_code)
