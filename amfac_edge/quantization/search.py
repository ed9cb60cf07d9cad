"""How little must go back to FP16 for a budget to hold: what each node costs alone, and for how much work.

Nodes go back in the order of what they cost for each multiply-accumulate that they save, so that most of the work stays
in INT8. The losses are handed in: what a pixel or a point of AP is, is the caller's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.graph.costs import layer_costs
from amfac_edge.quantization.placement import Placement
from amfac_edge.quantization.qdq import quantised

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

    from amfac_edge.quantization.ranges import Ranges

__all__ = ["CurvePoint", "SearchResult", "Sensitivity", "ranked", "search_budget"]


@dataclass(frozen=True)
class Sensitivity:
    """What one node costs when it alone is quantised.

    Attributes:
        node: by name.
        loss: of a graph in which only this node is.
        macs: its multiply-accumulates at batch 1.
    """

    node: str
    loss: float
    macs: int


@dataclass(frozen=True)
class CurvePoint:
    """One point of the trade-off.

    Attributes:
        given_back: how many of the ranked nodes compute in FP16, the first ones.
        mac_share: part of the multiply-accumulates in INT8.
        loss: of the whole.
    """

    given_back: int
    mac_share: float
    loss: float


@dataclass(frozen=True)
class SearchResult:
    """Where the search ended.

    Attributes:
        placement: the largest that was found within the budget; the smallest tried where none is.
        within_budget: whether it is.
        ranking: every node, in the order in which they go back; empty where none had to.
        curve: what was tried, by the number of nodes given back.
    """

    placement: Placement
    within_budget: bool
    ranking: tuple[Sensitivity, ...]
    curve: tuple[CurvePoint, ...]


def ranked(
    raw: ModelProto,
    ranges: Ranges,
    placement: Placement,
    loss: Callable[[ModelProto], float],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Sensitivity, ...]:
    """The nodes of `placement` by what each costs alone for its work, the costliest first; equal ones in graph order.

    Args:
        raw: float32 raw graph.
        ranges: of `calibrated_ranges`.
        placement: of its nodes.
        loss: of a graph with Q/DQ; larger is worse.
        progress: called with how many were tried, and how many there are.
    """
    work = {layer.name: layer.macs for layer in layer_costs(raw)}
    found = []
    for number, node in enumerate(placement.nodes, 1):
        cost = loss(quantised(raw, ranges, Placement((node,))).model)
        found.append(Sensitivity(node, cost, work[node]))
        if progress is not None:
            progress(number, len(placement.nodes))
    return tuple(sorted(found, key=lambda each: -each.loss / max(each.macs, 1)))


def search_budget(
    raw: ModelProto,
    ranges: Ranges,
    placement: Placement,
    loss: Callable[[ModelProto], float],
    budget: float,
    *,
    ranking_loss: Callable[[ModelProto], float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[CurvePoint], None] = lambda _: None,
) -> SearchResult:
    """Give nodes back to FP16, in the order of `ranked`, until `loss` is within `budget`.

    The whole is tried first, and nothing is ranked where it holds. Else the number of nodes to give back is halved in
    on, as if fewer quantised nodes never cost more; the one that is kept was measured.

    Args:
        raw: float32 raw graph.
        ranges: of `calibrated_ranges`.
        placement: what is quantised at most.
        loss: of a graph with Q/DQ; larger is worse.
        budget: the largest loss that is allowed.
        ranking_loss: by which nodes are ranked; None for `loss`. One to which single nodes add ranks best.
        progress: as of `ranked`.
        tell: called with each point of the trade-off as it is measured.
    """
    curve: dict[int, CurvePoint] = {}
    order: tuple[str, ...] = ()

    def tried(given_back: int) -> bool:
        smaller = placement.without(order[:given_back])
        model = quantised(raw, ranges, smaller).model
        point = curve[given_back] = CurvePoint(given_back, smaller.mac_share(raw), loss(model))
        tell(point)
        return point.loss <= budget

    if tried(0):
        return SearchResult(placement, within_budget=True, ranking=(), curve=tuple(curve.values()))
    ranking = ranked(raw, ranges, placement, ranking_loss or loss, progress=progress)
    order = tuple(each.node for each in ranking)
    # One quantised node is the least that is still INT8.
    low, high = 0, len(order) - 1
    if high == 0 or not tried(high):
        points = tuple(curve[key] for key in sorted(curve))
        return SearchResult(placement.without(order[:high]), within_budget=False, ranking=ranking, curve=points)
    while high - low > 1:
        middle = (low + high) // 2
        if tried(middle):
            high = middle
        else:
            low = middle
    points = tuple(curve[key] for key in sorted(curve))
    return SearchResult(placement.without(order[:high]), within_budget=True, ranking=ranking, curve=points)
