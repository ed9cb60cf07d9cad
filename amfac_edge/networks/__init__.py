"""The papers' networks as torch modules, one figure one file, and safe checkpoint loading."""

from amfac_edge.networks.building import build_network
from amfac_edge.networks.checkpoint import (
    LoadedCheckpoint,
    copy_checkpoint,
    describe_checkpoint,
    load_checkpoint,
    renamed_tensors,
    save_checkpoint,
)
from amfac_edge.networks.checkpoint_tensors import weights_digest
from amfac_edge.networks.counting import Complexity, count_complexity

__all__ = [
    "Complexity",
    "LoadedCheckpoint",
    "build_network",
    "copy_checkpoint",
    "count_complexity",
    "describe_checkpoint",
    "load_checkpoint",
    "renamed_tensors",
    "save_checkpoint",
    "weights_digest",
]
