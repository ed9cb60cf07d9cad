"""INT8 that is proved before it is written: quantised, rounded, judged by people whom it wasn't calibrated with.

The whole of the default placement is tried first; over the budget, nodes go back to FP16, those first that cost most
for their work. What is judged is the graph as it ships: INT8 between Q and DQ, each float16 result of the rest rounded.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import GateError, InputError
from amfac_edge.files import sha256_of
from amfac_edge.graph.half import half_graph
from amfac_edge.pipeline.int8_ranges import int8_ranges
from amfac_edge.pipeline.judging import Disturbance, Judged
from amfac_edge.quantization.people import digest_of
from amfac_edge.quantization.placement import default_placement
from amfac_edge.quantization.qdq import quantised
from amfac_edge.quantization.ranges import METHODS
from amfac_edge.quantization.search import search_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnx import ModelProto

    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.pipeline.int8_people import Int8People
    from amfac_edge.pipeline.sources import Source
    from amfac_edge.quantization.search import CurvePoint

__all__ = ["Int8Request", "QuantisedGraph", "check_int8", "quantised_graph"]

# Calibration crops by whose logits the nodes are ranked; the judges have no part in it.
_RANKING_CROPS = 8


@dataclass(frozen=True)
class Int8Request:
    """What INT8 is made from, and what it may cost.

    Attributes:
        calibration: the set.
        method: how ranges are taken: one of `quantization.ranges.METHODS`.
        max_ap_drop: points of AP (by OKS, 0 to 100) that may be lost on the held-out people.
        max_shift_px: pixels of the crop that joints may move in the mean; None for half a hundredth of its longer side.
        exclude: nodes that stay in FP16.
        use_cache: whether ranges are read from the calibration cache, and kept there.
    """

    calibration: CalibrationSet
    method: str = METHODS[0]
    max_ap_drop: float = 0.5
    max_shift_px: float | None = None
    exclude: tuple[str, ...] = ()
    use_cache: bool = True

    def __post_init__(self) -> None:
        if not self.max_ap_drop > 0 or not (self.max_shift_px is None or self.max_shift_px > 0):
            raise InputError(
                f"a budget of {self.max_ap_drop:g} points of AP and {self.max_shift_px} px holds nothing",
                cure="Give --max-ap-drop and --max-shift-px above 0, or leave them out.",
            )


@dataclass(frozen=True)
class QuantisedGraph:
    """A raw graph in INT8; whoever writes it calls `check_int8` first.

    Attributes:
        model: typed: INT8 between Q and DQ, the rest in float16, or in float32 for the CPU.
        evidence: of the gate, for the manifest.
    """

    model: ModelProto
    evidence: dict[str, Any]


def quantised_graph(
    source: Source,
    raw: ModelProto,
    request: Int8Request,
    people: Int8People,
    *,
    half: bool,
    say: Callable[[str], None],
) -> QuantisedGraph:
    """Quantise `raw`, and hold it against `source`.

    Args:
        source: what is exported; its network is the reference.
        raw: its raw graph, float32, simplified.
        request: what it is made from and may cost.
        people: of its set.
        half: whether the rest computes in float16.
        say: called with a line at each step.

    Raises:
        InputError: a node of `exclude` isn't there.
        ModelFileError: the graph can't be quantised.
    """
    recipe, crops, judge = source.recipe, people.crops, people.judge
    placement = default_placement(raw).without(request.exclude)
    ranges = int8_ranges(source, raw, crops, method=request.method, use_cache=request.use_cache, say=say).ranges
    limit = request.max_shift_px or max(recipe.crop.height, recipe.crop.width) / 200

    seen: dict[str, Judged] = {}

    def judged(model: ModelProto) -> Judged:
        # What is written at the end was judged on the way.
        key = sha256_of(model.SerializeToString(deterministic=True))
        if key not in seen:
            seen[key] = judge.of(model, half=half)
        return seen[key]

    def used(model: ModelProto) -> float:
        """The larger part of the two budgets that is used up."""
        found = judged(model)
        return max(found.lost_ap(judge.reference) / request.max_ap_drop, found.shift_px[0] / limit)

    def told(done: int, of: int) -> None:
        if done in (1, of) or done % 10 == 0:
            say(f"over the budget: what each node costs alone, {done} of {of}")

    def measured(point: CurvePoint) -> None:
        say(f"{point.mac_share:.0%} of the multiply-accumulates in INT8 use {point.loss:.2f} of the budget")

    ranking = Disturbance(source, crops[:_RANKING_CROPS]).of
    result = search_budget(raw, ranges, placement, used, 1.0, ranking_loss=ranking, progress=told, tell=measured)
    model = quantised(raw, ranges, result.placement).model
    final = judged(model)
    evidence = {
        "calibration": {
            "set": people.name, "people": len(crops), "held_out": len(judge.people),
            "crops_sha256": digest_of(crops), "method": request.method,
            "channel_order": people.channel_order and people.channel_order.as_json(),
        },
        "budget": {"ap": request.max_ap_drop, "shift_px": limit},
        "holds": result.within_budget,
        "fp32": judge.reference.as_json(),
        **({"fp16": judge.of(raw, half=True).as_json()} if half else {}),
        "int8": final.as_json() | {"ap_loss_interval_95": judge.ap_loss_interval(final)},
        "mac_share": result.placement.mac_share(raw),
        "nodes": list(result.placement.nodes),
        "given_back": [each.node for each in result.ranking if each.node not in result.placement.nodes],
        "sensitivity": [dataclasses.asdict(each) for each in result.ranking],
        "curve": [dataclasses.asdict(point) for point in result.curve],
    }  # fmt: skip
    return QuantisedGraph(half_graph(model) if half else model, evidence)


def check_int8(evidence: Mapping[str, Any], *, name: str) -> None:
    """Raise unless the gate holds.

    Args:
        evidence: of `quantised_graph`.
        name: of the artefact, for the message.

    Raises:
        GateError: no placement holds the budget; what the least of INT8 costs.
    """
    if evidence["holds"]:
        return
    full, made, budget = (evidence[key] for key in ("fp32", "int8", "budget"))
    lost = "" if full["ap"] is None else f"AP {full['ap']:.1f} -> {made['ap']:.1f} (at most {budget['ap']:g} points), "
    raise GateError(
        f"{name}: INT8 is over its budget with one node left in it: {lost}joints move by "
        f"{made['shift_px_mean_p50_p99'][0]:.2f} px in the mean (at most {budget['shift_px']:.2f})",
        cure="Nothing but the search's table and picture was written. Use FP16, a better calibration set, or a wider "
        "budget (--max-ap-drop).",
    )
