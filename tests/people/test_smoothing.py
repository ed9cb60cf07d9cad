from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.people import OneEuro, Smoothing


def _run(filter_: OneEuro, times: np.ndarray, places: np.ndarray, size: float = 100.0) -> np.ndarray:
    """Places (T,) of one coordinate of one joint, smoothed."""
    found = [
        filter_.smoothed(time, np.array([[place, 0.0]]), size)[0, 0] for time, place in zip(times, places, strict=True)
    ]
    return np.array(found)


def test_it_is_the_low_pass_of_its_equation() -> None:
    # Without beta the cutoff is constant: a step is approached by 1 - (1 - alpha)^n.
    times = np.arange(10) / 25
    places = np.r_[0.0, np.full(9, 10.0)]
    found = _run(OneEuro(Smoothing(min_cutoff=2.0, beta=0.0)), times, places)
    alpha = 1 / (1 + 25 / (2 * np.pi * 2.0))
    np.testing.assert_allclose(found[1:], 10 * (1 - (1 - alpha) ** np.arange(1, 10)))


def test_noise_at_rest_is_calmed_and_movement_is_followed() -> None:
    times, random = np.arange(200) / 25, np.random.default_rng(0)
    rest = _run(OneEuro(Smoothing()), times, random.normal(0, 1, 200))
    assert rest[20:].std() < 0.6
    # One length of the person a second: the lag is below a tenth of the length.
    moved = _run(OneEuro(Smoothing()), times, 100 * times)
    assert np.abs(moved - 100 * times)[50:].max() < 10
    slow = _run(OneEuro(Smoothing(beta=0.0)), times, 100 * times)
    assert np.abs(slow - 100 * times)[50:].min() > np.abs(moved - 100 * times)[50:].max()


def test_the_same_settings_fit_a_person_at_any_distance() -> None:
    times, random = np.arange(50) / 25, np.random.default_rng(1)
    places = np.cumsum(random.normal(0, 3, 50))
    near = _run(OneEuro(Smoothing()), times, places * 4, size=400)
    np.testing.assert_allclose(near, 4 * _run(OneEuro(Smoothing()), times, places, size=100))


def test_the_clock_is_that_of_the_time_stamps() -> None:
    # Every second frame dropped: what is left is where the whole film would be, up to what the dropped ones held.
    times = np.arange(100) / 50
    whole = _run(OneEuro(Smoothing(beta=0.0)), times, np.sin(times))
    half = _run(OneEuro(Smoothing(beta=0.0)), times[::2], np.sin(times[::2]))
    by_count = _run(OneEuro(Smoothing(beta=0.0)), times[:50], np.sin(times[::2]))
    assert np.abs(half - whole[::2])[5:].max() < 0.5 * np.abs(by_count - whole[::2])[5:].max()


@pytest.mark.parametrize("time", [1.0, 0.5, 9.0])
def test_a_clock_that_stands_goes_back_or_leaps_starts_anew(time: float) -> None:
    smoother = OneEuro(Smoothing())
    smoother.smoothed(0.96, np.zeros((3, 2)), 100)
    smoother.smoothed(1.0, np.zeros((3, 2)), 100)
    new = np.full((3, 2), 7.0)
    np.testing.assert_array_equal(smoother.smoothed(time, new, 100), new)


def test_two_people_have_two_states() -> None:
    one, other = OneEuro(Smoothing()), OneEuro(Smoothing())
    one.smoothed(0.0, np.zeros((1, 2)), 100)
    np.testing.assert_array_equal(other.smoothed(0.04, np.full((1, 2), 50.0), 100), [[50, 50]])
