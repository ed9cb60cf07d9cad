"""From a frame and boxes to joints in frame pixels."""

from __future__ import annotations

from amfac_edge.runtime.batching import MicroBatcher
from amfac_edge.runtime.estimator import PoseEstimator, StageTimes
from amfac_edge.runtime.poses import Poses, person_scores

__all__ = ["MicroBatcher", "PoseEstimator", "Poses", "StageTimes", "person_scores"]
