"""The smallest camera app: the joints of whoever stands in front of a camera, in a window; q ends it.

    python examples/camera.py model.cpu.fp32.onnx v4l2:///dev/video0 [detector.cpu.fp32.onnx]

The source is a camera (csi://0, v4l2:///dev/video0, rtsp://host/path), a video file or a folder of pictures. The
detector is an artefact of amfac-export; without one, the whole frame is one person's box.
"""

import argparse
import contextlib
import sys

from amfac_edge import PoseEstimator
from amfac_edge.cameras import FullFrame, open_source
from amfac_edge.errors import AmfacError
from amfac_edge.live import DetectedPeople, Painter, Window, posed_frames
from amfac_edge.people import PeopleFollower, Smoothing, open_detector


def tell(text: str) -> None:
    """Say that a camera is lost, or back, and what ended the app."""
    print(text, file=sys.stderr, flush=True)


def watch(engine: str, address: str, detector: str | None) -> None:
    """Show every frame with its joints until the source or the window ends."""
    with contextlib.ExitStack() as opened:
        estimator = opened.enter_context(PoseEstimator(engine))
        window = opened.enter_context(Window(Painter(estimator.skeleton, min_score=0.3, ids=True)))
        boxes, follower = FullFrame(), None
        if detector is not None:
            boxes = DetectedPeople(opened.enter_context(open_detector(detector)))
            follower = PeopleFollower(estimator.skeleton, smoothing=Smoothing())
        source = opened.enter_context(open_source(address, tell=tell))
        for posed in posed_frames(source, estimator, boxes, follower):
            window.add(posed)
            if window.ended:
                break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("source")
    parser.add_argument("detector", nargs="?")
    arguments = parser.parse_args()
    try:
        watch(arguments.engine, arguments.source, arguments.detector)
    except KeyboardInterrupt:
        pass
    except AmfacError as error:
        tell(f"{error.problem}. {error.cure}")
        sys.exit(error.exit_code)
