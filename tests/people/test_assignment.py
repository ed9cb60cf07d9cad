from __future__ import annotations

import itertools

import numpy as np
import pytest

from amfac_edge.people.assignment import assigned


def _best(gains: np.ndarray) -> float:
    """The largest sum, by trying everything."""
    if gains.shape[0] > gains.shape[1]:
        gains = gains.T
    rows, columns = gains.shape
    tried = itertools.permutations(range(columns), rows)
    return max((sum(gains[row, column] for row, column in enumerate(one)) for one in tried), default=0.0)


@pytest.mark.parametrize("least", [0.1, 0.3, 0.6])
def test_no_other_pairs_add_up_to_more(least: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        rows, columns = (int(side) for side in random.integers(0, 6, 2))
        # Few digits, so that many are equal.
        similarities = np.round(random.random((rows, columns)), int(random.integers(1, 4)))
        pairs = assigned(similarities, least=least)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert pairs == sorted(pairs)
        assert all(similarities[pair] >= least for pair in pairs)
        total = sum(similarities[pair] for pair in pairs)
        assert total == pytest.approx(_best(np.where(similarities >= least, similarities, 0)))


def test_the_nearest_pair_is_not_taken_at_the_cost_of_everybody_else() -> None:
    assert assigned(np.array([[0.9, 0.8], [0.85, 0.1]]), least=0.05) == [(0, 1), (1, 0)]


def test_a_crowd_is_assigned_too() -> None:
    random = np.random.default_rng(1)
    order = random.permutation(100)
    similarities = random.random((100, 100)) * 0.5
    similarities[np.arange(100), order] += 0.6
    assert assigned(similarities, least=0.3) == list(enumerate(order.tolist()))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 2)])
def test_nobody_is_no_pairs(shape: tuple[int, int]) -> None:
    assert assigned(np.zeros(shape), least=0.1) == []
