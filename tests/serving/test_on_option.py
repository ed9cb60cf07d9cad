"""amfac-export --on, whole: from a checkpoint to a plan that a machine behind a real sshd built."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import RTX, read_manifest
from amfac_edge.compiler import has_builder

pytest.importorskip("torch", reason="exports from a checkpoint: make test has torch, a board has not")

from amfac_edge.cli.export import main
from amfac_edge.networks.fresh import fresh_checkpoint
from amfac_edge.pipeline import engines
from amfac_edge.serving import plan_over_ssh

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.conftest import BoardMachine

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")
def test_a_checkpoint_becomes_a_plan_of_the_board(
    tiny_recipe: Path,
    tmp_path: Path,
    board_machine: BoardMachine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No board is here: TensorRT-RTX stands for its TensorRT, which is what build.py is told besides.
    def stand_in(*words: Any, build_arguments: tuple[str, ...], **options: Any) -> Any:  # noqa: ANN401 - passed on
        return plan_over_ssh(*words, build_arguments=(*build_arguments, "--flavour", "tensorrt-rtx"), **options)

    monkeypatch.setattr(engines, "plan_over_ssh", stand_in)
    checkpoint = tmp_path / "tiny.pth"
    fresh_checkpoint(tiny_recipe, 0, checkpoint)
    words = [str(checkpoint), "--target", "rtx-4090", "--on", "board", "--remote-python", sys.executable]
    assert main([*words, "--workspace", "64", "--bench", "--out", str(tmp_path / "out"), "--json"]) == 0
    told, err = capsys.readouterr()
    [made] = json.loads(told)["artefacts"]
    plan = tmp_path / "out" / made["plan"].rpartition("/")[2]
    assert plan.name.endswith(".rtx.plan")
    assert made["kit"] is None
    assert made["board"] == "board"
    assert made["plan_sha256"] == read_manifest(plan).digests["artefact"]
    assert made["sha256"] == read_manifest(plan).digests["onnx"]
    assert made["beside"] == [f"{plan}.build.log"]
    assert "building for GeForce RTX 4090" in err
    assert "built on board" in err
    # Nothing here runs a plan, and the plan came all the same.
    assert "built, and not measured, for the reason above" in err
    assert not list((tmp_path / "out").glob("*.kit.tar.gz"))
    assert board_machine.left_over() == []
