"""A camera app for a machine without a screen: one line of JSON a frame, until the camera ends.

    python examples/camera_lines.py model.cpu.fp32.onnx [camera number, file or stream]

The whole frame is the person's box; a person detector in front of the estimator gives better ones.
"""

import json
import sys
import time

import cv2

from amfac_edge import PoseEstimator

engine, source = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "0"
camera = cv2.VideoCapture(int(source) if source.isdecimal() else source)
camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest that waits
began = time.monotonic()

with PoseEstimator(engine) as estimator:
    while True:
        arrived, frame = camera.read()
        if not arrived:
            break
        height, width = frame.shape[:2]
        poses = estimator(frame, [[0, 0, width - 1, height - 1]])
        line = {"time": round(time.monotonic() - began, 3), "keypoints": poses.keypoints[0].round(1).tolist()}
        print(json.dumps(line | {"scores": poses.scores[0].round(3).tolist()}), flush=True)
camera.release()
