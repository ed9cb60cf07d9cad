"""A camera app's memory over 20,000 frames: everything that amfac-run has around the network, and the network."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amfac_edge.cameras import LiveSource, camera_address
from amfac_edge.cameras.captures import Picture
from amfac_edge.live import FullFrame, LiveStats, PoseLines, Tally, posed_frames
from amfac_edge.runtime import PoseEstimator
from tests.own_memory import grown_in_every_part, own_bytes

if TYPE_CHECKING:
    from types import ModuleType

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

PARTS = range(2_000, 20_001, 4_500)
ROOM = 5_000_000


class Endless:
    """A camera that is as fast as it is asked."""

    fps: float | None = 25.0

    def read(self) -> Picture:
        return Picture(np.zeros((240, 320, 3), np.uint8), None)

    def give_up(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.slow
def test_memory_stays_where_it_is(markers: ModuleType, tmp_path: Path) -> None:
    address = camera_address("rtsp://host/a")
    assert address is not None
    engine = markers.write_artefact(tmp_path / "markers.cpu.fp32.onnx")
    sizes = []
    with PoseEstimator(engine, threads=1) as estimator, LiveSource(address, Endless) as source:
        tally = Tally()
        with LiveStats(source, 0.5, [lambda _: None]) as stats, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            lines = PoseLines(nowhere)
            for count, posed in enumerate(posed_frames(source, estimator, FullFrame()), start=1):
                for listener in (tally.add, stats.add, lines.add):
                    listener(posed)
                if count in PARTS:
                    gc.collect()
                    sizes.append(own_bytes())
                if count == PARTS[-1]:
                    break
    assert grown_in_every_part(sizes) < ROOM, sizes
