"""The receipts that lie in the checkout: whole, small, and honest about the weights that they are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from amfac_edge.performance import read_receipt

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
RECEIPTS = sorted(RESULTS.glob("*.json"))
RELEASED = ("amfacpose-r18-128x128-crowdpose", "eba-prnetcc-r18-128x128-crowdpose")
SHAPES = tuple(f"amfacpose-{depth}-{size}" for depth in ("r34", "r18") for size in ("384x288", "256x256"))


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.name)
def test_a_recorded_receipt_is_whole_and_small(path: Path) -> None:
    receipt = read_receipt(path)
    assert path.stat().st_size < 200_000
    assert receipt.target == "cpu"
    # Fresh weights are marked so; what was released is trained.
    assert receipt.trained is (receipt.conditions.recipe in RELEASED)
    assert receipt.findings["busy"] is not None
    assert receipt.findings["overhead_us"] < 20
    assert "/" not in " ".join(receipt.command)


def test_released_weights_and_published_shapes_are_there() -> None:
    found = {(receipt.conditions.recipe, receipt.conditions.precision) for receipt in map(read_receipt, RECEIPTS)}
    assert found >= {(name, precision) for name in RELEASED for precision in ("fp32", "int8")}
    assert found >= {(name, "fp32") for name in SHAPES}
