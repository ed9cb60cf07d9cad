"""A plan in a CUDA context of your own: for an app that has work of its own on the GPU and manages its contexts.

    python examples/own_pycuda_context.py model.plan picture.jpg

The estimator makes the context current for each call, whichever thread calls, and leaves what was current before.
Nobody has seen this run on a board.
"""

import sys

import cv2
import pycuda.driver as cuda

from amfac_edge import PoseEstimator

engine, picture = sys.argv[1:3]
frame = cv2.imread(picture)
height, width = frame.shape[:2]

cuda.init()
context = cuda.Device(0).make_context()
try:
    with PoseEstimator(engine, context=context) as estimator:
        poses = estimator(frame, [[0, 0, width - 1, height - 1]])
    for (x, y), score in zip(poses.keypoints[0], poses.scores[0], strict=True):
        print(f"{x:.1f} {y:.1f} {score:.2f}")
finally:
    context.pop()
    context.detach()
