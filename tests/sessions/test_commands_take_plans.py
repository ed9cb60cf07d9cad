"""The commands that run an engine run a plan through its session, over the stand-in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.cli.bench import main as bench_main
from amfac_edge.cli.evaluate import main as eval_main
from amfac_edge.cli.run import main as run_main
from amfac_edge.keypoints import skeleton
from amfac_edge.performance import measuring

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sessions.conftest import Board

each_library = pytest.mark.parametrize("cuda", ["cuda-python", "pycuda"])


@each_library
def test_amfac_run_takes_plans(board: Board, capsys: pytest.CaptureFixture[str], cuda: str) -> None:
    board.install_cuda(cuda)
    places = board.markers.spread_places()
    picture = board.folder / "picture.png"
    cv2.imwrite(str(picture), board.markers.painted_crop(places))
    plan = board.marker_plan(host_code=True)
    words = ["--engine", str(plan), "--source", str(picture), "--json", "--cuda", cuda]
    assert run_main(words) == 2
    assert "allow it: --allow-host-code" in capsys.readouterr().err
    assert run_main([*words, "--allow-host-code"]) == 0
    (person,) = json.loads(capsys.readouterr().out)["people"]
    assert np.shape(person["keypoints"]) == (17, 3)


def _people(board: Board, count: int) -> Path:
    """Annotated pictures whose crops are the marker network's own, so that it finds every joint."""
    width, height = board.markers.WIDTH, board.markers.HEIGHT
    box = [(width - 1 - width / 1.25) / 2, (height - 1 - height / 1.25) / 2, width / 1.25, height / 1.25]
    images, annotations = [], []
    for number in range(count):
        places = board.markers.spread_places(number)
        cv2.imwrite(str(board.folder / f"{number}.png"), board.markers.painted_crop(places))
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        keypoints = [float(value) for x, y in places for value in (x, y, 2)]
        one = {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 2000.0, "keypoints": keypoints}
        annotations.append(one)
    people = {"id": 1, "name": "person", "keypoints": list(skeleton("coco-17").joints)}
    path = board.folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [people]}))
    return path


@each_library
def test_amfac_eval_scores_a_plan(board: Board, capsys: pytest.CaptureFixture[str], cuda: str) -> None:
    board.install_cuda(cuda)
    data, plan = _people(board, 5), board.marker_plan(host_code=True)
    words = [str(plan), "--data", str(data), "--images", str(board.folder), "--json", "--cuda", cuda]
    assert eval_main(words) == 2
    assert "allow it: --allow-host-code" in capsys.readouterr().err
    assert eval_main([*words, "--allow-host-code", "--wait", "spin"]) == 0
    assert json.loads(capsys.readouterr().out)["AP"] == pytest.approx(1)
    assert board.gpu.calls["enqueueV3"] > 0
    assert eval_main([*words, "--allow-host-code", "--flip"]) == 2
    assert "gives joints, no logits" in capsys.readouterr().err


@each_library
def test_amfac_bench_measures_a_plan(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cuda: str
) -> None:
    board.install_cuda(cuda)

    def here(function: str, *, timeout_s: float, **told: Any) -> dict[str, float]:  # noqa: ANN401
        # A fresh process would have no stand-in. It too opens the plan while the one that measures has it open.
        assert function.endswith(":cold_start")
        assert timeout_s > 0
        return measuring.cold_start(**json.loads(json.dumps(told)))

    monkeypatch.setattr(measuring, "call_in_child", here)
    plan = board.marker_plan(host_code=True)
    words = [str(plan), "--iterations", "3", "--people", "2", "--frame", "320x240", "--json", "--cuda", cuda]
    assert bench_main(words) == 2
    assert "allow it: --allow-host-code" in capsys.readouterr().err
    assert bench_main([*words, "--allow-host-code", "--wait", "spin"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    conditions = measured["conditions"]
    assert (conditions["engine"], conditions["spinning"]) == ("tensorrt 10.3.0", True)
    assert conditions["provider"].startswith(f"NVIDIA GeForce RTX 3060 by {cuda}")
    assert {name: len(series["samples_ms"]) for name, series in measured["series"].items()} == dict.fromkeys(
        measuring.BOUNDARIES, 3
    )


@pytest.mark.usefixtures("kernel")
def test_amfac_bench_lets_the_gpu_cut_crops(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "call_in_child", lambda *_, **__: {"load_ms": 1.0, "first_ms": 1.0})
    plan = board.marker_plan()
    frame = 64 * 64 * 3
    assert bench_main([str(plan), "--iterations", "1", "--frame", "64x64", "--crops", "gpu", "--json"]) == 0
    assert ("in", frame) in board.gpu.copies
    board.gpu.copies.clear()
    assert bench_main([str(plan), "--iterations", "1", "--frame", "64x64", "--json"]) == 0
    assert ("in", frame) not in board.gpu.copies
    assert np.shape(json.loads(capsys.readouterr().out.splitlines()[0])["measured"]) == (1,)
