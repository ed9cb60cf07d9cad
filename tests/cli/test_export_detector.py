"""What amfac-export says of detectors, and how pictures become what one takes."""

from __future__ import annotations

import numpy as np

from amfac_edge.artefact import DetectorFacts
from amfac_edge.cli.export_detector import detector_parity, letterboxed

FACTS = DetectorFacts(
    name="made", family="yolox", height=64, width=96, candidates=126, class_index=0, class_name="person", classes=80,
    score_threshold=0.01, iou_threshold=0.65,
)  # fmt: skip
PARITY = {"images": 8, "box_error": 2e-5, "box_budget": 5e-4, "score_error": 1e-6, "people": 5, "lost": 0}


def test_the_line_tells_people_where_there_are_some() -> None:
    assert detector_parity(PARITY).endswith("scores within 1.0e-06; of 5 people, 0 found by one of both alone")
    assert detector_parity(PARITY | {"people": 0}).endswith(
        "nobody in generated pictures: --parity-images DIR compares people too"
    )


def test_pictures_of_any_size_are_letterboxed() -> None:
    frames = [np.zeros((32, 96, 3), np.uint8), np.zeros((640, 480, 3), np.uint8)]
    wide, tall = letterboxed(frames, FACTS)
    assert wide.shape == tall.shape == (64, 96, 3)
    assert (wide[:32] == 0).all()
    assert (wide[32:] == 114).all()
    assert (tall[:, :48] == 0).all()
    assert (tall[:, 48:] == 114).all()
