"""Who is who: pairs of rows and columns whose similarities add up to the most.

The shortest augmenting paths of Jonker and Volgenant ("A shortest augmenting path algorithm for dense and sparse linear
assignment problems", 1987), row by row; a board need not have SciPy for the few people of a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["assigned"]


def assigned(similarities: NDArray[np.floating], *, least: float) -> list[tuple[int, int]]:
    """The pairs (row, column) that are alike, each row and each column in one pair at most.

    Args:
        similarities: (N, M), finite; the sum over the pairs is the largest possible one.
        least: above 0; who is less alike than this is no pair, and counts for nothing in the sum.

    Returns:
        The pairs, by row.
    """
    gains = np.where(similarities >= least, similarities, 0.0).astype(np.float64)
    if not gains.size or not (gains > 0).any():
        return []
    rows, columns = np.flatnonzero(gains.any(axis=1)), np.flatnonzero(gains.any(axis=0))
    gains = gains[np.ix_(rows, columns)]
    best = gains.argmax(axis=1)
    if len(set(best.tolist())) == len(best):  # nobody wants what another one has: that is the most there is
        pairs = list(enumerate(best.tolist()))
    elif len(rows) <= len(columns):
        pairs = list(enumerate(_columns(-gains)))
    else:
        pairs = [(row, column) for column, row in enumerate(_columns(-gains.T))]
    return sorted((int(rows[row]), int(columns[column])) for row, column in pairs if gains[row, column] > 0)


def _columns(costs: NDArray[np.float64]) -> list[int]:
    """The column of each row at the least total cost; costs (N, M), N not above M."""
    count, width = costs.shape
    row_prices, column_prices = np.zeros(count), np.zeros(width)
    row_of: list[int] = [-1] * width
    for start in range(count):
        # Dijkstra over columns from row `start` to the first one that is free.
        distances, before = np.full(width, np.inf), np.full(width, -1)
        is_done = np.zeros(width, np.bool_)
        row, reached, last = start, 0.0, -1
        while True:
            ways = reached + costs[row] - row_prices[row] - column_prices
            shorter = ~is_done & (ways < distances)
            distances[shorter], before[shorter] = ways[shorter], last
            last = int(np.where(is_done, np.inf, distances).argmin())
            reached = float(distances[last])
            is_done[last] = True
            if row_of[last] < 0:
                break
            row = row_of[last]
        row_prices[start] += reached
        for column in np.flatnonzero(is_done).tolist():
            if row_of[column] >= 0:
                row_prices[row_of[column]] += reached - distances[column]
            column_prices[column] += distances[column] - reached
        while last >= 0:
            previous = int(before[last])
            row_of[last] = start if previous < 0 else row_of[previous]
            last = previous
    columns = [0] * count
    for column, row in enumerate(row_of):
        if row >= 0:
            columns[row] = column
    return columns
