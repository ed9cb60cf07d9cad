"""The RTMPose-shaped networks have the multiply-accumulates that are published of the real ones."""

from __future__ import annotations

import pytest

from amfac_edge.declared.published import TableRow, load_published
from amfac_edge.performance.forecast.rtmpose import rtmpose_layers

ROWS = [row for row in load_published("rtmpose-tensorrt").rows if row.number("gflops")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_multiply_accumulates_are_the_published_ones_within_a_hundredth(row: TableRow) -> None:
    height, width = (round(row.number(name) or 0) for name in ("input_height", "input_width"))
    variant = str(row.values["model"]).rpartition("-")[2]
    macs = sum(layer.macs for layer in rtmpose_layers(variant, height, width))
    assert macs / 1e9 == pytest.approx(row.number("gflops"), rel=0.01)


def test_every_layer_moves_something() -> None:
    assert all(layer.bytes > 0 for layer in rtmpose_layers("t", 256, 192))
