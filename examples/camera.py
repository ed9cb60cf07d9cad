"""The smallest camera app: the joints of whoever stands in front of a camera, in a window; q ends it.

    python examples/camera.py model.cpu.fp32.onnx v4l2:///dev/video0 [detector.cpu.fp32.onnx]

The source is a camera (csi://0, v4l2:///dev/video0, rtsp://host/path), a video file or a folder of pictures. The
detector is an artefact of amfac-export; without one, the whole frame is one person's box.
"""

import contextlib
import sys

from amfac_edge import PoseEstimator
from amfac_edge.cameras import FullFrame, open_source
from amfac_edge.live import DetectedPeople, Painter, Window, posed_frames
from amfac_edge.people import PeopleFollower, Smoothing, open_detector

engine, address, *detector = sys.argv[1:]

with contextlib.ExitStack() as opened:
    estimator = opened.enter_context(PoseEstimator(engine))
    window = opened.enter_context(Window(Painter(estimator.skeleton, min_score=0.3, ids=True)))
    source = open_source(address)
    if source.live:
        opened.enter_context(source)
    boxes, follower = FullFrame(), None
    if detector:
        boxes = DetectedPeople(opened.enter_context(open_detector(detector[0])))
        follower = PeopleFollower(estimator.skeleton, smoothing=Smoothing())
    for posed in posed_frames(source, estimator, boxes, follower):
        window.add(posed)
        if window.ended:
            break
