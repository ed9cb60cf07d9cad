"""The histogram that ranges are read from: exact while it is small, and never large."""

from __future__ import annotations

import numpy as np
import pytest

from amfac_edge.quantization.ranges import Magnitudes


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def counted(*crops: np.ndarray) -> Magnitudes:
    found = Magnitudes()
    for values in crops:
        found.add(values.astype(np.float32), float(np.abs(values).max()))
    return found


@pytest.mark.parametrize("first", [1e-2, 1e-4, 1e-30, 1e-45])
def test_a_first_crop_of_next_to_nothing_costs_no_memory(random: np.random.Generator, first: float) -> None:
    crops = [floats(0, first), *(random.normal(size=20_000) for _ in range(3))]
    found = counted(*crops)
    assert found.counts.sum() == 60_002
    assert found.counts.nbytes <= 8 << 16
    magnitudes = np.abs(np.concatenate(crops))
    assert found.largest("percentile") == pytest.approx(np.quantile(magnitudes, 0.9999), abs=2 * found.width)
    assert found.width <= magnitudes.max() / (1 << 15)
    assert found.largest("minmax") == found.top


def test_a_small_histogram_keeps_the_width_of_its_first_crop(random: np.random.Generator) -> None:
    crops = [floats(1.0), random.uniform(0, 32, size=1000), floats(32.0)]
    found = counted(*crops)
    assert found.width == 1 / 2048
    magnitudes = np.concatenate(crops).astype(np.float32)
    magnitudes[0] -= 1 / 4096  # the largest of the first crop went into its last bin
    assert found.counts.tolist() == np.histogram(magnitudes, bins=32 * 2048, range=(0, 32))[0].tolist()


def test_merged_bins_are_those_of_the_double_width(random: np.random.Generator) -> None:
    values = random.uniform(0, 1, size=1000).astype(np.float32)
    values[0] = 1.0
    found = counted(values, floats(33.0))
    assert found.width == 1 / 1024
    assert found.counts[:1025].tolist() == [*np.histogram(values, bins=1024, range=(0, 1))[0], 0]
