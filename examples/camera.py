"""The smallest camera app: joints of whoever stands in front of camera 0, drawn in a window; q ends it.

    python examples/camera.py model.cpu.fp32.onnx [camera number, file or stream]

The whole frame is the person's box; a person detector in front of the estimator gives better ones.
"""

import sys

import cv2

from amfac_edge import PoseEstimator

engine, source = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "0"
camera = cv2.VideoCapture(int(source) if source.isdecimal() else source)

with PoseEstimator(engine) as estimator:
    while True:
        arrived, frame = camera.read()
        if not arrived:
            break
        height, width = frame.shape[:2]
        poses = estimator(frame, [[0, 0, width - 1, height - 1]])
        for x, y in poses.keypoints[0]:
            cv2.circle(frame, (round(float(x)), round(float(y))), 4, (0, 200, 255), -1, cv2.LINE_AA)
        cv2.imshow("joints", frame)
        if cv2.waitKey(1) == ord("q"):
            break
camera.release()
