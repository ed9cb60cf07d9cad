"""What is carried to where a model shall run: board kits, and plans that are built on a board over ssh."""

from __future__ import annotations

from amfac_edge.serving.boards import Board
from amfac_edge.serving.kits import kit_name, write_kit
from amfac_edge.serving.over_ssh import BroughtPlan, plan_over_ssh
from amfac_edge.serving.ssh_session import check_board

__all__ = ["Board", "BroughtPlan", "check_board", "kit_name", "plan_over_ssh", "write_kit"]
