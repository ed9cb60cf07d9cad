"""What the search for INT8's budget walked through, as tables and a picture beside the artefact."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from amfac_edge.drawing.curves import Panel, Series, draw_curves
from amfac_edge.drawing.writing import write_picture
from amfac_edge.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from amfac_edge.keypoints import Bgr

__all__ = ["search_files", "search_picture", "write_search"]

_PARTS = (".curve.csv", ".sensitivity.csv", ".search.png")


def search_files(artefact: Path) -> tuple[Path, Path, Path]:
    """Where the trade-off, the nodes and the picture of an artefact's search lie."""
    stem = artefact.name.removesuffix(".onnx")
    curve, nodes, picture = (artefact.with_name(stem + part) for part in _PARTS)
    return curve, nodes, picture


def write_search(evidence: Mapping[str, Any], artefact: Path) -> None:
    """Write what a search found; where none was needed, remove what an earlier one left under these names.

    Args:
        evidence: of `quantised_graph`.
        artefact: beside which they belong, written or not.

    Raises:
        OutputError: the place can't be written to.
        MissingExtraError: OpenCV is not installed.
    """
    curve, nodes, picture = search_files(artefact)
    if not evidence["sensitivity"]:
        # They would be taken for this artefact's.
        for path in (curve, nodes, picture):
            path.unlink(missing_ok=True)
        return
    inside = set(evidence["nodes"])
    points = ((point["given_back"], point["mac_share"], point["loss"]) for point in evidence["curve"])
    write_bytes(curve, _table(("given_back", "mac_share", "budget_used"), points))
    rows = (
        (rank, each["node"], each["macs"], each["loss"], "int8" if each["node"] in inside else "given back")
        for rank, each in enumerate(evidence["sensitivity"], 1)
    )
    write_bytes(nodes, _table(("rank", "node", "macs", "error_power_alone", "ends_as"), rows))
    write_picture(picture, search_picture(evidence))


def search_picture(evidence: Mapping[str, Any]) -> Bgr:
    """What each node costs alone, and how the budget was reached, one above the other.

    Args:
        evidence: of `quantised_graph`, after a search.
    """
    inside = set(evidence["nodes"])
    order = evidence["sensitivity"]
    groups = (
        [(rank, each["loss"]) for rank, each in enumerate(order, 1) if (each["node"] in inside) is kept]
        for kept in (False, True)
    )
    series = [
        Series(name, [rank for rank, _ in points], [loss for _, loss in points], line=False, dots=True)
        for name, points in zip(("given back", "INT8"), groups, strict=True)
        if points
    ]
    points = sorted(evidence["curve"], key=lambda point: point["mac_share"])
    share, used = ([point[key] for point in points] for key in ("mac_share", "loss"))
    budget = evidence["budget"]
    return draw_curves(
        [
            Panel(
                "What each node costs alone: error power of the logits beside their variance",
                series,
                x_label="rank, by cost for the work (names: .sensitivity.csv)",
                log_y=True,
            ),
            Panel(
                f"Of the budget ({budget['ap']:g} points of AP, {budget['shift_px']:.2f} px) is used up",
                [Series("on held-out people", [100 * each for each in share], used, dots=True)],
                x_label="% of the multiply-accumulates in INT8",
                levels=(1.0,),
            ),
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
