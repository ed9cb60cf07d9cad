"""Detectors over both engines; the plan's runs over a stand-in, and its numbers are the CPU session's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.people import open_detector
from amfac_edge.sessions import open_detector_session, open_session

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from tests.sessions.conftest import Board


def _pictures(cell_detector: ModuleType, count: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, cell_detector.HEIGHT, cell_detector.WIDTH, 3), np.uint8)


@pytest.mark.parametrize("batch", ["1", "2-3"])
@pytest.mark.parametrize("rtx", [False, True])
def test_a_plan_finds_what_the_cpu_finds(board: Board, cell_detector: ModuleType, batch: str, rtx: bool) -> None:  # noqa: FBT001
    onnx_path = cell_detector.write_detector(board.folder / "cells.onnx", batch=batch)
    version = "1.7.1.116" if rtx else "10.3.0"
    board.install_tensorrt(version, rtx=rtx)
    plan = board.plan_of(onnx_path, rtx=rtx, version=version)
    pictures = _pictures(cell_detector, 5)
    session, cpu = open_detector_session(plan), open_detector_session(onnx_path)
    for count in (1, 2, 3, 5, 1):
        found, expected = session.run_images(pictures[:count]), cpu.run_images(pictures[:count])
        assert [values.shape for values in found] == [(count, 24, 4), (count, 24)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    green = pictures[..., 1].reshape(5, 4, 16, 6, 16).max(axis=(2, 4)).reshape(5, 24)
    np.testing.assert_allclose(cpu.run_images(pictures)[1], green / 255, rtol=1e-6)
    assert session.facts == cpu.facts == cell_detector.FACTS
    session.close()
    session.close()
    cpu.close()


@pytest.mark.parametrize("wait", ["block", "spin"])
def test_people_are_found_by_a_plan_as_by_an_onnx(board: Board, cell_detector: ModuleType, wait: str) -> None:
    onnx_path = cell_detector.write_detector(board.folder / "cells.onnx")
    frame = np.full((128, 192, 3), 9, np.uint8)
    frame[32:64, 96:128] = 240
    with open_detector(board.plan_of(onnx_path), wait=wait) as detector, open_detector(onnx_path) as cpu:
        assert detector.settings.engine == "tensorrt 10.3.0"
        for found, expected in zip(detector(frame), cpu(frame), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert len(cpu(frame).boxes) == 1


def test_each_kind_refuses_the_other(board: Board, cell_detector: ModuleType) -> None:
    detector = board.plan_of(cell_detector.write_detector(board.folder / "cells.onnx"))
    poses = board.marker_plan()
    with pytest.raises(ModelFileError, match="a pose network, not a person detector"):
        open_detector_session(poses)
    with pytest.raises(ModelFileError, match="a person detector, not a pose network"):
        open_session(detector)
    assert board.alive() == {}


def test_pictures_of_another_form_are_refused(board: Board, cell_detector: ModuleType) -> None:
    onnx_path = cell_detector.write_detector(board.folder / "cells.onnx")
    for path in (onnx_path, board.plan_of(onnx_path)):
        session = open_detector_session(path)
        with pytest.raises(InputError, match=r"the pictures are uint8 \(1, 64, 95, 3\)"):
            session.run_images(np.zeros((1, 64, 95, 3), np.uint8))
        session.close()
        with pytest.raises(InputError, match="closed"):
            session.run_images(_pictures(cell_detector, 1))


def test_an_option_that_is_not_known_is_named(board: Board, cell_detector: ModuleType) -> None:
    path = cell_detector.write_detector(board.folder / "cells.onnx")
    with pytest.raises(InputError, match='provider="npu" is not known'):
        open_detector_session(path, provider="npu")
