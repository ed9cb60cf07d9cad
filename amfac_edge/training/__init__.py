"""Training the networks: targets, loss, augmentation, and one loop, in one process or several."""

from __future__ import annotations

from amfac_edge.training.loop import BEST, LAST, STATE, Trained, TrainingPlan, Watcher, train
from amfac_edge.training.losses import KLDiscretLoss, simcc_targets
from amfac_edge.training.processes import Processes, joined_processes

__all__ = [
    "BEST",
    "LAST",
    "STATE",
    "KLDiscretLoss",
    "Processes",
    "Trained",
    "TrainingPlan",
    "Watcher",
    "joined_processes",
    "simcc_targets",
    "train",
]
