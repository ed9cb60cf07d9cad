"""What is carried to where a model shall run: board kits, plans built on a board over ssh, Triton repositories."""

from __future__ import annotations

from amfac_edge.serving.boards import Board
from amfac_edge.serving.kits import kit_name, write_kit
from amfac_edge.serving.over_ssh import BroughtPlan, plan_over_ssh
from amfac_edge.serving.ssh_session import check_board
from amfac_edge.serving.triton import TritonModel, triton_name, write_triton

__all__ = [
    "Board",
    "BroughtPlan",
    "TritonModel",
    "check_board",
    "kit_name",
    "plan_over_ssh",
    "triton_name",
    "write_kit",
    "write_triton",
]
