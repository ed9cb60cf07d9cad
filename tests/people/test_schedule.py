from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.people.schedule import Schedule

NOBODY = np.zeros((0, 4))


def _picture(height: int = 240, width: int = 320, level: int = 80) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def _asked(
    schedule: Schedule, pictures: list[np.ndarray], boxes: np.ndarray = NOBODY, *, lost: bool = False
) -> list[int]:
    """The frames in which the detector is due."""
    asked = []
    for number, picture in enumerate(pictures):
        if schedule.is_due(picture, boxes, lost=lost):
            asked.append(number)
            schedule.asked(picture, boxes, in_vain=lost)
    return asked


@pytest.mark.parametrize(("every", "expected"), [(1, list(range(12))), (4, [0, 4, 8]), (100, [0])])
def test_where_nothing_happens_it_is_every_n_frames(every: int, expected: list[int]) -> None:
    assert _asked(Schedule(every), [_picture()] * 12) == expected


def test_whoever_is_lost_is_looked_for_less_and_less_often() -> None:
    assert _asked(Schedule(16), [_picture()] * 40, lost=True) == [0, 2, 6, 14, 30]


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (61, 47), (8, 8), (1, 1)])
def test_a_change_brings_it_forward(size: tuple[int, int]) -> None:
    changed = _picture(*size)
    changed[: size[0] // 2 + 1, : size[1] // 4 + 1] = 200
    assert _asked(Schedule(20), [_picture(*size)] * 15 + [changed] * 5) == [0, 15]


def test_a_change_where_somebody_is_followed_is_theirs() -> None:
    changed = _picture()
    changed[40:200, 100:160] = 200
    box = np.array([[95.0, 35, 165, 205]])
    pictures = [_picture()] * 12 + [changed] * 3
    assert _asked(Schedule(20), pictures, box) == [0]
    assert _asked(Schedule(20), pictures) == [0, 12]


def test_noise_and_a_slow_dawn_are_no_change() -> None:
    random = np.random.default_rng(0)
    noisy = [np.clip(_picture() + random.normal(0, 6, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(15)]
    assert _asked(Schedule(20), noisy) == [0]
    dawn = [_picture(level=80 + number // 4) for number in range(40)]
    assert _asked(Schedule(20), dawn) == [0, 20]


def test_a_moving_camera_costs_no_detection_in_every_frame() -> None:
    random = np.random.default_rng(0)
    moving = [random.integers(0, 255, (30, 40, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(60)]
    assert len(_asked(Schedule(10), moving, np.array([[0.0, 0, 20, 20]]))) == 12
    assert len(_asked(Schedule(10), moving)) == 30
