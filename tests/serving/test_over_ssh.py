"""Plans built over ssh, by a real sshd on the loopback address; TensorRT-RTX's builder stands for the board's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX, read_manifest, read_plan_header
from amfac_edge.compiler import has_builder
from amfac_edge.declared.target import load_target
from amfac_edge.serving.boards import Board
from amfac_edge.serving.over_ssh import plan_over_ssh

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tests.serving.conftest import BoardMachine

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
needs_rtx = pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")

BOARD = Board("board", python=sys.executable)
STAND_IN = ("--flavour", "tensorrt-rtx")


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    (tmp_path / "here").mkdir()
    path: Path = markers.write_artefact(tmp_path / "here" / "marker.rtx-4090.fp32.onnx", batch="1-4")
    return path


@needs_rtx
def test_a_plan_is_built_there_and_brought_back(artefact: Path, board_machine: BoardMachine) -> None:
    said: list[str] = []
    brought = plan_over_ssh(artefact, load_target("rtx-4090"), BOARD, build_arguments=STAND_IN, say=said.append)
    plan = brought.plan.path
    assert plan == artefact.with_name("marker.rtx-4090.fp32.rtx.plan")
    assert read_manifest(plan) == brought.plan.manifest
    assert read_manifest(plan).digests["onnx"] == read_manifest(artefact).digests["artefact"]
    assert read_plan_header(plan).compute_capabilities == ("8.9",)
    assert board_machine.left_over() == []
