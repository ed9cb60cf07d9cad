"""The papers' figures are drawn from their tables."""

from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.performance import Conditions, Measured
from amfac_edge.performance.figures import FIGURES, speed_figure

pytest.importorskip("cv2")


@pytest.mark.parametrize("stem", FIGURES)
def test_a_figure_has_points_in_several_colours(stem: str) -> None:
    picture = FIGURES[stem](None)
    assert picture.ndim == 3
    assert picture.dtype == np.uint8
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours[counts > 40]) >= 6


def test_a_measured_engine_takes_its_forecasts_place() -> None:
    conditions = Conditions("p", "e", "p", 1, False, "a", "0", "r", "fp16", "1x1", 1, None, {})  # noqa: FBT003 - by place
    measured = {"amfacpose-r34-384x288": Measured("engine", (10.0,), conditions)}
    assert not np.array_equal(speed_figure(measured)[:100], speed_figure()[:100])
