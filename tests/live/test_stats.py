from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.cameras import Frame, LiveSource, camera_address
from amfac_edge.cameras.captures import Picture
from amfac_edge.live import LiveStats, PosedFrame, stats_line, stats_sentence
from amfac_edge.runtime import Poses, StageTimes

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = np.zeros((4, 6, 3), np.uint8)


class Still:
    """A camera of one picture."""

    fps: float | None = None

    def __init__(self) -> None:
        self.left = 1

    def read(self) -> Picture | None:
        self.left -= 1
        return Picture(IMAGE, None) if self.left >= 0 else None

    def give_up(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def source() -> Iterator[LiveSource]:
    address = camera_address("rtsp://host/a")
    assert address is not None
    with LiveSource(address, Still) as live:
        yield live


def posed(waited: float) -> PosedFrame:
    frame = Frame(0, 0.0, "a", IMAGE, arrived=monotonic() - waited, waited=waited)
    nobody = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros((0, 4), np.float32))
    return PosedFrame(frame, nobody, np.zeros(0), None, StageTimes(1.0, 20.0, 0.5), find_ms=3.0)


def test_the_figures_of_an_interval(source: LiveSource) -> None:
    told: list[dict[str, Any]] = []
    with LiveStats(source, 60, [told.append]) as stats:
        for waited in (0.01, 0.02, 0.09):
            stats.add(posed(waited))
    (line,) = told
    assert (line["frames"], line["total"], line["people"], line["connected"]) == (3, 3, 0, True)
    assert line["waited_ms"] == {"median": 20.0, "p95": 90.0, "max": 90.0}
    assert line["age_ms"]["median"] >= 20
    assert line["stages_ms"] == {"boxes": 3.0, "crop": 1.0, "network": 20.0, "decode": 0.5}
    assert json.loads(stats_line(line)) == line
    assert "frames 20 ms old at hand-over (p95 90)" in stats_sentence(line)


def test_an_interval_without_frames_is_told_too(source: LiveSource) -> None:
    told: list[dict[str, Any]] = []
    with LiveStats(source, 60, [told.append]):
        pass
    assert (told[0]["fps"], told[0]["waited_ms"], told[0]["stages_ms"]) == (0.0, None, None)
    assert stats_sentence(told[0]).startswith("0.0 fps; ")


def test_a_listener_that_fails_ends_nothing(source: LiveSource, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[dict[str, Any]] = []

    def full(_: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    def wrong(_: dict[str, Any]) -> None:
        raise KeyError("fps")

    with LiveStats(source, 60, [full, wrong, told.append]):
        pass
    assert len(told) == 1
    assert capsys.readouterr().err == "a listener of the statistics failed, and is told no more: KeyError: 'fps'\n"
