"""Joints and their coordinates: skeletons, boxes, the crop transform, SimCC encoding and decoding.

NumPy only, but for `load_opencv` and `warp_crops`, which load OpenCV when they are called.
"""

from __future__ import annotations

from amfac_edge.keypoints.boxes import PeopleBoxes, checked_boxes
from amfac_edge.keypoints.crop import crop_affines, inverse_affines, transform_points
from amfac_edge.keypoints.frames import Bgr, checked_frame
from amfac_edge.keypoints.letterbox import LETTERBOX_FILL, Letterbox
from amfac_edge.keypoints.opencv import load_opencv
from amfac_edge.keypoints.score import (
    SCORE_CALIBRATION_KEY,
    SCORE_MARGIN,
    ScoreCalibration,
    score_calibration_from_json,
    score_logits,
)
from amfac_edge.keypoints.simcc import SimccCode, TargetKind, axis_scores
from amfac_edge.keypoints.skeletons import Skeleton, skeleton, skeleton_names
from amfac_edge.keypoints.suppression import overlaps, suppressed
from amfac_edge.keypoints.warp import exact_crop, warp_crops

__all__ = [
    "LETTERBOX_FILL",
    "SCORE_CALIBRATION_KEY",
    "SCORE_MARGIN",
    "Bgr",
    "Letterbox",
    "PeopleBoxes",
    "ScoreCalibration",
    "SimccCode",
    "Skeleton",
    "TargetKind",
    "axis_scores",
    "checked_boxes",
    "checked_frame",
    "crop_affines",
    "exact_crop",
    "inverse_affines",
    "load_opencv",
    "overlaps",
    "score_calibration_from_json",
    "score_logits",
    "skeleton",
    "skeleton_names",
    "suppressed",
    "transform_points",
    "warp_crops",
]
