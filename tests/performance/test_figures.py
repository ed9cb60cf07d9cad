"""The papers' figures are drawn from their tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from amfac_edge.performance import Conditions, Measured, Receipt
from amfac_edge.performance.figures import FIGURES, measured_on_card, speed_figure

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


def test_receipts_of_the_papers_card_alone_are_its_points() -> None:
    conditions = Conditions("p", "e", "p", 1, False, "a", "0", "r", "fp16", "1x1", 1, None, {})  # noqa: FBT003 - by place
    engine = {"engine": Measured("engine", (10.0,), conditions)}
    card = Receipt("2026-11-28T12:00:00Z", ("amfac-bench",), conditions, engine, target="rtx-3060")
    assert list(measured_on_card([card])) == ["r"]
    assert measured_on_card([dataclasses.replace(card, target="rtx-4090")]) == {}
    full = dataclasses.replace(card, conditions=dataclasses.replace(conditions, precision="fp32"))
    assert measured_on_card([full]) == {}
    assert measured_on_card([dataclasses.replace(card, findings={"throttling": ["hot"]})]) == {}
