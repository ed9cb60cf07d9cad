"""The trial of a kit: as written so read, ties and shares counted, and nothing taken from a damaged file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from amfac_edge.artefact.trial import Trial, crops_in_a_frame, read_trial, trial_bytes, upper_quantile
from amfac_edge.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

N, K = 10, 20


@pytest.fixture
def trial() -> Trial:
    random = np.random.default_rng(1)
    clear = np.ones((N, K), bool)
    clear[:, 0] = False
    return Trial(
        crops=random.integers(0, 256, (N, 8, 6, 3), np.uint8),
        keypoints=random.uniform(0, 6, (N, K, 2)).astype(np.float32),
        scores=random.uniform(0, 1, (N, K)).astype(np.float32),
        clear=clear,
        shift_px=1.0,
        moved_share=0.01,
    )


def test_one_joint_in_a_hundred_may_move(trial: Trial) -> None:
    same = trial.judge(trial.keypoints, trial.scores)
    assert (same.holds, same.joints, same.moved) == (True, 190, 0)
    assert same.shift_px == (0, 0, 0)
    found = trial.keypoints.copy()
    found[:, 0] += 50
    found[0, 1, 0] += 1.5
    one = trial.judge(found, trial.scores)
    assert (one.holds, one.moved) == (True, 1)
    found[0, 2, 1] -= 1.5
    assert not trial.judge(found, trial.scores).holds


def test_a_joint_that_is_no_number_has_moved(trial: Trial) -> None:
    found = trial.keypoints.copy()
    found[0, 1:4] = np.nan
    judgement = trial.judge(found, trial.scores)
    assert (judgement.moved, judgement.holds) == (3, False)
    assert judgement.as_json()["shift_px_p50_p99_max"][2] is None
    scores = trial.scores.copy()
    scores[0, 0] = np.nan
    assert not trial.judge(trial.keypoints, scores).holds


def test_what_is_written_is_read(trial: Trial, tmp_path: Path) -> None:
    path = tmp_path / "trial.npz"
    path.write_bytes(trial_bytes(trial))
    assert trial_bytes(trial) == path.read_bytes()
    again = read_trial(path)
    for field in ("crops", "keypoints", "scores", "clear"):
        np.testing.assert_array_equal(getattr(again, field), getattr(trial, field))
    assert (again.shift_px, again.moved_share) == (1.0, 0.01)


def _npz(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays of every type
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_an_upper_quantile_is_the_higher_of_two() -> None:
    values = np.random.default_rng(0).permutation(101).reshape(1, 101).astype(np.float64)
    assert [upper_quantile(values, part) for part in (0.0, 0.5, 0.991, 1.0)] == [0, 50, 100, 100]
    assert upper_quantile(np.array([1.0, 2.0, np.inf, np.inf]), 0.5) == np.inf
    assert upper_quantile(np.array([7.0]), 0.99) == 7.0
    assert np.isnan(upper_quantile(np.array([1.0, np.nan, 2.0]), 0.0))


def test_damaged_ones_are_refused(trial: Trial, tmp_path: Path) -> None:
    path = tmp_path / "trial.npz"
    whole = trial_bytes(trial)
    fields = {name: getattr(trial, name) for name in ("crops", "keypoints", "scores", "clear")}
    allowed = np.array([1.0, 0.01])
    pickled = np.array([{}], object)
    for content in (
        b"",
        b"PK\3\4 nothing",
        whole[: len(whole) // 2],
        _npz(**fields),
        _npz(**fields | {"keypoints": trial.keypoints[:4]}, allowed=allowed),
        _npz(**fields | {"scores": trial.scores.astype(np.float64)}, allowed=allowed),
        _npz(**fields | {"clear": pickled}, allowed=allowed),
        _npz(**fields, allowed=np.array([1.0, 2.0, 3.0])),
        _npy(trial.scores),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"trial\.npz: not the trial of a kit"):
            read_trial(path)


@pytest.mark.parametrize(
    ("largest", "sides"), [(None, (80, 6)), ((80, 6), (80, 6)), ((79, 12), (72, 12)), ((30, 24), (24, 24))]
)
def test_crops_lie_in_a_frame_where_the_affines_say(
    trial: Trial, largest: tuple[int, int] | None, sides: tuple[int, int]
) -> None:
    frame, affines = crops_in_a_frame(trial.crops, largest=largest)
    assert frame.shape == (*sides, 3)
    np.testing.assert_array_equal(affines[:, :, :2], np.tile(np.eye(2), (N, 1, 1)))
    for crop, (left, top) in zip(trial.crops, affines[:, :, 2].astype(int), strict=True):
        np.testing.assert_array_equal(frame[top : top + 8, left : left + 6], crop)


def test_a_small_frame_is_filled_up_and_a_full_one_said(trial: Trial) -> None:
    frame, _ = crops_in_a_frame(trial.crops[:1], smallest=(64, 64))
    assert frame.shape == (64, 64, 3)
    assert not frame[8:].any()
    assert not frame[:, 6:].any()
    with pytest.raises(ModelFileError, match=r"10 crops of 8x6 don't fit into a frame of 30x20"):
        crops_in_a_frame(trial.crops, largest=(30, 20))
