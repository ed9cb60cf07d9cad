"""The score of any predictor on any annotated people: OKS AP of COCO and CrowdPose, PCK, and how sure they are."""

from __future__ import annotations

from amfac_edge.accuracy.attention import Attention, attention_of, attention_sheet
from amfac_edge.accuracy.bootstrap import Interval, bootstrap_intervals, paired_difference
from amfac_edge.accuracy.calibration import FittedScore, fit_score
from amfac_edge.accuracy.cases import case_sheet
from amfac_edge.accuracy.coco_evaluator import matched_people
from amfac_edge.accuracy.grids import pose_grid
from amfac_edge.accuracy.papers import BOX_SOURCE, PaperRow, paper_rows
from amfac_edge.accuracy.pck import require_threshold
from amfac_edge.accuracy.predicting import LogitsPredictor, Predicted, Predictor, predict_people, predictor_from_onnx
from amfac_edge.accuracy.predictions import (
    Boxes,
    Predictions,
    ground_truth_boxes,
    load_boxes,
    load_predictions,
    save_predictions,
)
from amfac_edge.accuracy.reliability import Reliability, judge, reliability, reliability_picture
from amfac_edge.accuracy.robustness import CurvePoint, curve_picture, robustness_curve, write_curve
from amfac_edge.accuracy.scoring import PROTOCOLS, Protocol, Score, protocol_of, require_scorable, score_people
from amfac_edge.accuracy.similarity import without_doubles

__all__ = [
    "BOX_SOURCE",
    "PROTOCOLS",
    "Attention",
    "Boxes",
    "CurvePoint",
    "FittedScore",
    "Interval",
    "LogitsPredictor",
    "PaperRow",
    "Predicted",
    "Predictions",
    "Predictor",
    "Protocol",
    "Reliability",
    "Score",
    "attention_of",
    "attention_sheet",
    "bootstrap_intervals",
    "case_sheet",
    "curve_picture",
    "fit_score",
    "ground_truth_boxes",
    "judge",
    "load_boxes",
    "load_predictions",
    "matched_people",
    "paired_difference",
    "paper_rows",
    "pose_grid",
    "predict_people",
    "predictor_from_onnx",
    "protocol_of",
    "reliability",
    "reliability_picture",
    "require_scorable",
    "require_threshold",
    "robustness_curve",
    "save_predictions",
    "score_people",
    "without_doubles",
    "write_curve",
]
