"""The comparison's arithmetic, its order, and that all candidates find the same joints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import MachineError
from amfac_edge.keypoints import SimccCode, crop_affines, transform_points
from amfac_edge.performance.peer_engines import time_yolo
from amfac_edge.performance.peers import (
    BAR_RECIPE,
    Candidate,
    Comparison,
    Times,
    compare_candidates,
    time_artefact,
)
from amfac_edge.runtime.by_hand import HandWritten

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    comparison = Comparison("r", 2, {"plain": [10.0, 30.0, 20.0], "ours": [5.0, 5.0, 2.0]}, {})
    assert comparison.ratio("plain") == 6.0
    assert comparison.as_json()["ratios"] == {"plain": 6.0}


def test_rounds_are_interleaved(markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = markers.write_artefact(tmp_path / "engine.onnx")
    order: list[str] = []

    def child(function: str, **_: object) -> Times:
        order.append(function)
        return {
            "frame_ms": [1.0, 3.0, 2.0],
            "network_ms": [1.0],
            "busy": len(order) / 10,
            "engine": "e",
            "versions": {},
        }

    monkeypatch.setattr("amfac_edge.performance.peers.call_in_child", child)
    absent = Candidate("absent", "e:f", artefact, missing="make it")
    candidates = [Candidate("plain", "a:b", artefact), absent, Candidate("ours", "c:d", artefact)]
    ticks: list[int] = []
    found = compare_candidates(candidates, artefact, threads=1, rounds=2, seconds=0.1, done=lambda: ticks.append(1))
    assert order == ["a:b", "c:d", "a:b", "c:d"]
    assert len(ticks) == 4
    assert found.frame_ms == {"plain": [2.0, 2.0], "ours": [2.0, 2.0]}
    assert found.busy == 0.4
    assert found.skipped == {"absent": "make it"}
    assert [len(answers) for answers in found.runs.values()] == [2, 2]


def test_the_bar_is_one_models_at_two_threads() -> None:
    frame_ms = {"eager torch": [36.0], "plain ONNX Runtime": [35.0], "ours": [10.0]}
    assert Comparison(BAR_RECIPE, 2, frame_ms, {}).missed() == ["only 3.50x faster than plain ONNX Runtime, not 3.6x"]
    assert Comparison(BAR_RECIPE, 2, frame_ms | {"ours": [9.0]}, {}).missed() == []
    assert Comparison(BAR_RECIPE, 1, frame_ms, {}).missed() == []
    assert Comparison("another", 2, frame_ms, {}).as_json()["bar_met"] is None


def test_a_candidate_that_dies_is_named(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "engine.onnx")
    broken = Candidate("broken", "amfac_edge.performance.peers:no_such_function", artefact)
    with pytest.raises(MachineError, match="broken could not be timed"):
        compare_candidates([broken], artefact, threads=1, rounds=1, seconds=0.1, done=lambda: None)


def test_a_foreign_one_that_dies_costs_only_itself(markers: ModuleType, tmp_path: Path) -> None:
    artefact = markers.write_artefact(tmp_path / "engine.onnx")
    broken = Candidate("broken", "amfac_edge.performance.peers:no_such_function", artefact, of_recipe=False)
    ours = Candidate("ours", "amfac_edge.performance.peers:time_artefact", artefact)
    done: list[None] = []
    found = compare_candidates(
        [broken, ours], artefact, threads=1, rounds=2, seconds=0.05, done=lambda: done.append(None)
    )
    assert "broken could not be timed" in found.skipped["broken"]
    assert set(found.frame_ms) == set(found.runs) == {"ours"}
    assert len(found.frame_ms["ours"]) == 2
    assert len(done) == 3  # a timing that fails is over, too


def test_ours_is_timed_through_the_estimator(markers: ModuleType, tmp_path: Path) -> None:
    path = str(markers.write_artefact(tmp_path / "engine.onnx"))
    times = time_artefact(path, path, threads=1, seconds=0.05)
    assert len(times["frame_ms"]) == len(times["network_ms"]) >= 10
    assert all(network < whole for network, whole in zip(times["network_ms"], times["frame_ms"], strict=True))


def test_the_pipeline_by_hand_finds_the_same_joints(markers: ModuleType) -> None:
    recipe = markers.RECIPE
    code = SimccCode.of(recipe)
    points = np.random.default_rng(3).uniform(5, 40, (1, 17, 2))
    seen: list[NDArray[np.float32]] = []

    def network(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen.append(image)
        return code.encode(points)

    frame = np.full((200, 300, 3), (10, 20, 30), np.uint8)
    boxes = np.array([[100.0, 60.0, 180.0, 160.0]])
    joints, network_ms = HandWritten(network, recipe).timed(frame, boxes)
    # Half a bin of a crop pixel, in frame pixels.
    affine = crop_affines(boxes, recipe.crop)
    bound = abs(affine[0, 0, 0]) / (2 * recipe.split_ratio) + 1e-6
    np.testing.assert_allclose(joints, transform_points(points, affine), atol=bound)
    assert network_ms >= 0
    # RGB, normalised: the middle pixel is (30, 20, 10) / 255.
    middle = seen[0][0, :, markers.HEIGHT // 2, markers.WIDTH // 2]
    np.testing.assert_allclose(middle, (np.array([30, 20, 10]) / 255 - recipe.mean) / recipe.std, atol=1e-5)


def program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_program_from_outside_is_believed_for_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # a child has one: what is there isn't the program's
    speed = "Speed: 2.5ms preprocess, 40.0ms inference, 1.5ms postprocess per image at shape (1, 3, 384, 640)"
    path = program(tmp_path / "yolo", f'test "$OMP_NUM_THREADS$PYTHONPATH" = 2 && echo "$@" >&2 && echo "{speed}"')
    times = time_yolo(str(path), "", threads=2, seconds=1.0)
    assert (times["frame_ms"], times["network_ms"]) == ([44.0], [40.0])


@pytest.mark.parametrize(("body", "said"), [("echo nothing here", "nothing here"), ("echo no; exit 3", "no"), ("", "")])
def test_a_program_that_tells_nothing_is_named(tmp_path: Path, body: str, said: str) -> None:
    path = program(tmp_path / "yolo", body)
    with pytest.raises(MachineError, match=f"yolo said: {said}"):
        time_yolo(str(path), "", threads=1, seconds=1.0)
