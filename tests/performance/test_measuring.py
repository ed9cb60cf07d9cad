"""Series end when they should, and the stages add up to the frame."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.children import ChildFailure
from amfac_edge.errors import MachineError
from amfac_edge.performance import Limits, measure_artefact
from amfac_edge.performance.measuring import BOUNDARIES, people_boxes, still_frame
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import Ticket
from amfac_edge.sessions.onnxruntime_session import OnnxRuntimeSession

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from amfac_edge.runtime import Poses


def test_an_artefact_is_measured_by_stage(markers: ModuleType, tmp_path: Path) -> None:
    path = markers.write_artefact(tmp_path / "engine.onnx")
    frame = still_frame(240, 320)
    found = measure_artefact(
        path, frame=frame, people=2, threads=1, limits=Limits(iterations=20, warmup=2, pauses=2, pause_s=0.01)
    )
    assert tuple(found.series) == BOUNDARIES
    assert all(len(measured.samples_ms) == 20 for measured in found.series.values())
    stages = ("frame", "crop", "network", "decode")
    for whole, *parts in zip(*(found.series[name].samples_ms for name in stages), strict=True):
        # The stages are timed within the frame's own start and stop.
        assert 0 < sum(parts) <= whole
    conditions = found.series["frame"].conditions
    assert (conditions.threads, conditions.people, conditions.frame) == (1, 2, "320x240")
    assert conditions.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.series["engine"].conditions == conditions
    assert set(conditions.versions) == {"amfac-edge", "python", "numpy", "opencv"}
    assert found.load_ms > 0
    assert found.first_ms > 0
    assert len(found.after_idle_ms) == 2
    assert found.overhead_us > 0
    assert found.drift_percent is None
    assert found.manifest.precision == conditions.precision


def test_the_engine_is_timed_on_the_crops_of_all_people(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = markers.write_artefact(tmp_path / "engine.onnx", batch="1-4")
    seen: list[int] = []
    run = OnnxRuntimeSession.run

    def counted(session: OnnxRuntimeSession, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        seen.append(len(crops))
        return run(session, crops)

    monkeypatch.setattr(OnnxRuntimeSession, "run", counted)
    measure_artefact(path, frame=still_frame(240, 320), people=3, limits=Limits(iterations=2, warmup=1, pauses=0))
    assert set(seen) == {3}


def test_the_next_frame_is_submitted_before_joints_are_asked_for(
    markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted, seen = 0, []
    submit, result = PoseEstimator.submit, Ticket.result

    def counted(estimator: PoseEstimator, *arguments: Any) -> Ticket[Poses]:  # noqa: ANN401
        nonlocal submitted
        submitted += 1
        return submit(estimator, *arguments)

    def asked(ticket: Ticket[Poses]) -> Poses:
        seen.append(submitted)
        return result(ticket)

    monkeypatch.setattr(PoseEstimator, "submit", counted)
    monkeypatch.setattr(Ticket, "result", asked)
    path = markers.write_artefact(tmp_path / "engine.onnx")
    found = measure_artefact(path, frame=still_frame(240, 320), people=1, limits=Limits(iterations=6, warmup=2))
    assert len(found.series["ahead"].samples_ms) == 6
    assert seen == [*range(2, 2 + 8), 9]  # and at last the one that is left


def test_a_cold_start_that_dies_is_told(markers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: object, **__: object) -> None:
        raise ChildFailure("it was killed by SIGKILL")

    monkeypatch.setattr("amfac_edge.performance.measuring.call_in_child", dead)
    path = markers.write_artefact(tmp_path / "engine.onnx")
    with pytest.raises(MachineError, match=r"engine\.onnx: the process for its cold start .* killed by SIGKILL"):
        measure_artefact(path, frame=still_frame(240, 320), people=1, limits=Limits(iterations=1, pauses=0))


@pytest.mark.parametrize("people", [1, 3, 40])
def test_people_stand_inside_the_frame(people: int) -> None:
    boxes = people_boxes(people, 1080, 1920)
    assert boxes.shape == (people, 4)
    # Integers are the middles of pixels.
    assert (boxes[:, 0] >= -0.5).all()
    assert (boxes[:, 2] <= 1919.5).all()
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert np.all(boxes[1:, 0] >= boxes[:-1, 2] - 1e-9)
