"""The receipts that lie in the checkout: whole, small, and honest about the weights that they are of."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from amfac_edge.performance import read_receipt

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
RECEIPTS = sorted(RESULTS.glob("*.json"))
PEERS = sorted((RESULTS / "peers").glob("*.json"))
RELEASED = ("amfacpose-r18-128x128-crowdpose", "eba-prnetcc-r18-128x128-crowdpose")
SHAPES = tuple(f"amfacpose-{depth}-{size}" for depth in ("r34", "r18") for size in ("384x288", "256x256"))


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.name)
def test_a_recorded_receipt_is_whole_and_small(path: Path) -> None:
    receipt = read_receipt(path)
    assert path.stat().st_size < 200_000
    assert receipt.target == "cpu"
    # Fresh weights are marked so; what was released is trained.
    assert receipt.trained is (receipt.conditions.recipe in RELEASED)
    assert receipt.findings["busy"] < 0.1
    assert receipt.findings["overhead_us"] < 20
    assert "/" not in " ".join(receipt.command)


def test_released_weights_and_published_shapes_are_there() -> None:
    found = {(receipt.conditions.recipe, receipt.conditions.precision) for receipt in map(read_receipt, RECEIPTS)}
    assert found >= {(name, precision) for name in RELEASED for precision in ("fp32", "int8")}
    assert found >= {(name, "fp32") for name in SHAPES}


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.name)
def test_a_receipt_of_a_peer_is_whole_small_and_of_a_quiet_machine(path: Path) -> None:
    receipt = read_receipt(path)
    assert path.stat().st_size < 60_000
    assert receipt.trained is False
    assert receipt.findings["busy"] < 0.1
    assert "/" not in " ".join(receipt.command)


def test_what_the_texts_say_of_peers_is_in_the_receipts() -> None:
    rounds = {
        (receipt.conditions.threads, receipt.switches["candidate"], recipe): receipt.findings["medians_of_rounds"]
        for receipt, recipe in ((read_receipt(path), path.name.partition(".")[0]) for path in PEERS)
    }

    def found(candidate: str, threads: int, shape: str) -> tuple[str, float]:
        theirs, ours = (rounds[threads, name, shape]["frame_ms"] for name in (candidate, "ours"))
        middle = statistics.median(theirs)
        shown = f"{middle:.0f}" if middle >= 100 else f"{middle:.1f}"
        return shown, statistics.median(their / our for their, our in zip(theirs, ours, strict=True))

    def cell(candidate: str, threads: int, shape: str) -> str:
        shown, ratio = found(candidate, threads, shape)
        return shown if candidate == "ours" else f"{shown} ({ratio:.2f}x)"

    told = (RESULTS.parents[1] / "docs" / "benchmarking.md").read_text().partition("### Recorded")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([12]) \|(.*)\|$", told, re.MULTILINE)
    names = {
        "eager torch 2.13": "eager torch",
        "torch.compile": "torch.compile",
        "plain ONNX Runtime 1.31": "plain ONNX Runtime",
        "rtmlib 0.0.16": "rtmlib",
        "OpenVINO 2026.4, FP32": "OpenVINO",
        "OpenVINO as it comes, bfloat16": "OpenVINO as it comes",
        "**ours**": "ours",
    }
    assert [(row[0], row[1]) for row in rows] == [(name, threads) for threads in "12" for name in names]
    for name, threads, cells in rows:
        for shape, text in zip(SHAPES, cells.split("|"), strict=True):
            run = (names[name], int(threads), shape)
            measured = (run[1], run[0], shape) in rounds
            assert text.strip() == (cell(*run) if measured else ""), run
    # The README's row of a model is made of the same figures.
    readme = (RESULTS.parents[1] / "README.md").read_text()
    columns = ["eager torch", "plain ONNX Runtime", "rtmlib", "OpenVINO"]
    for shape in SHAPES:
        theirs = [found(name, 2, shape) for name in columns]
        shown = ", ".join([*(f"{ratio:.1f}x" for _, ratio in theirs[:3]), f"{theirs[3][1]:.2f}x"])
        middle = " ms | ".join(text for text, _ in theirs)
        assert f"| {middle} ms | **{cell('ours', 2, shape)} ms** | {shown} |" in readme, shape
