"""A plan in a CUDA context of your own: for an app that has work of its own on the GPU and manages its contexts.

    python examples/own_pycuda_context.py model.plan picture.jpg

The estimator makes the context current for each call, whichever thread calls, and leaves what was current before.
Nobody has seen this run on a board.
"""

import argparse
import sys
from pathlib import Path

from amfac_edge import PoseEstimator
from amfac_edge.cameras import read_picture
from amfac_edge.errors import AmfacError

try:
    import pycuda.driver as cuda
except ImportError:
    sys.exit('pycuda is not installed. pip install "pycuda>=2024.1"')

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("engine")
parser.add_argument("picture", type=Path)
arguments = parser.parse_args()

cuda.init()
context = cuda.Device(0).make_context()
try:
    frame = read_picture(arguments.picture)
    height, width = frame.shape[:2]
    with PoseEstimator(arguments.engine, context=context) as estimator:
        poses = estimator(frame, [[0, 0, width - 1, height - 1]])
    for (x, y), score in zip(poses.keypoints[0], poses.scores[0], strict=True):
        print(f"{x:.1f} {y:.1f} {score:.2f}")
except AmfacError as error:
    print(f"{error.problem}. {error.cure}", file=sys.stderr)
    sys.exit(error.exit_code)
finally:
    context.pop()
    context.detach()
