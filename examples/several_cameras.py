"""Several cameras on one engine: each has a thread, and what they ask for together goes through in one batch.

    python examples/several_cameras.py model.plan detector.plan csi://0 csi://1 rtsp://door/stream

It prints a line of JSON for each frame of each camera, and how many frames shared a batch at the end. A batch pays on a
GPU; on a CPU it costs what its crops cost one by one.
"""

import json
import sys
import threading

from amfac_edge import PoseEstimator
from amfac_edge.cameras import open_source
from amfac_edge.live import DetectedPeople, pose_line, posed_frames
from amfac_edge.people import PeopleFollower, Smoothing, open_detector
from amfac_edge.runtime import MicroBatcher

engine, detector_file, *addresses = sys.argv[1:]
ended = threading.Event()
printing = threading.Lock()


def watch(camera: int, address: str, batcher: MicroBatcher) -> None:
    """One camera, with a detector and ids of its own, until it ends or the app does."""
    follower = PeopleFollower(batcher.skeleton, smoothing=Smoothing())
    source = open_source(address)
    with open_detector(detector_file) as detector:
        for posed in posed_frames(source, batcher, DetectedPeople(detector), follower):
            with printing:
                print(json.dumps({"camera": camera} | pose_line(posed)), flush=True)
            if ended.is_set():
                break
    if source.live:
        source.close()


with PoseEstimator(engine) as estimator, MicroBatcher(estimator, cameras=len(addresses), wait_ms=4) as batcher:
    threads = [threading.Thread(target=watch, args=(*each, batcher)) for each in enumerate(addresses)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        ended.set()
        for thread in threads:
            thread.join()
    print(f"{batcher.frames} frames with people in {batcher.batches} batches", file=sys.stderr)
