"""The commands that run an engine run a plan through its session, over the stand-in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.artefact import manifest_path
from amfac_edge.cli.bench import main as bench_main
from amfac_edge.cli.evaluate import main as eval_main
from amfac_edge.cli.run import main as run_main
from amfac_edge.keypoints import skeleton
from amfac_edge.performance import measuring
from amfac_edge.sessions import lost_manifest, open_session

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
    pytest.importorskip("pycocotools", reason="amfac-eval needs it: make test has pycocotools, a board has not")
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


def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process would have no stand-in. It too opens the plan while the one that measures has it open."""

    def here(function: str, *, timeout_s: float, **told: Any) -> dict[str, float]:  # noqa: ANN401
        assert function.endswith(":cold_start")
        assert timeout_s > 0
        return measuring.cold_start(**json.loads(json.dumps(told)))

    monkeypatch.setattr(measuring, "call_in_child", here)


@each_library
def test_amfac_bench_measures_a_plan(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cuda: str
) -> None:
    board.install_cuda(cuda)
    _in_this_process(monkeypatch)
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
        (*measuring.BOUNDARIES, *measuring.TRTEXEC_FIELDS), 3
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


@pytest.mark.parametrize("batch", ["3", "1-4"])
def test_a_plan_that_has_lost_its_manifest_is_measured(
    board: Board, batch: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_this_process(monkeypatch)
    monkeypatch.setattr(lost_manifest, "load_recipe", {board.markers.RECIPE.name: board.markers.RECIPE}.__getitem__)
    plan = board.marker_plan(batch, name="amfac/1 marker-64x48 0123456789abcdef")
    manifest_path(plan).unlink()
    words = [str(plan), "--iterations", "3", "--people", "2", "--frame", "320x240"]
    assert bench_main(words) == 0
    out = capsys.readouterr().out
    assert "(marker-64x48, unknown)" in out
    assert "read from its engine's name" in out
    with open_session(plan, by_name=True) as session, open_session(plan.with_suffix(".onnx")) as cpu:
        assert session.manifest.extra["onnx_sha256_begins"] == "0123456789abcdef"
        assert str(session.manifest.batch) == batch
        crops = np.stack([board.markers.painted_crop(board.markers.spread_places(seed)) for seed in range(3)])
        for found, expected in zip(session.run(crops), cpu.run(crops), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "engine's name '' is not one of amfac-export"),
        ("Unnamed Network 0", "is not one of amfac-export"),
        ("amfac/1 no-such-recipe 0123456789abcdef", 'unknown recipe "no-such-recipe"'),
        ("amfac/1 ../../etc/passwd 0123456789abcdef", "is not one of amfac-export"),
        ("amfac/1 amfacpose-r18-256x256 0123456789abcdef", "its tensors are not those of its manifest"),
    ],
)
def test_a_name_that_tells_nothing(board: Board, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = board.marker_plan(name=name)
    manifest_path(plan).unlink()
    assert bench_main([str(plan)]) == 2
    assert reason in capsys.readouterr().err
