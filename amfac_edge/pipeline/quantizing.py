"""INT8 that is proved before it is written: quantised, rounded, judged by people whom it wasn't calibrated with.

The whole of the default placement is tried first; over the budget, nodes go back to FP16, those first that cost most
for their work. What is judged is the graph as it ships: INT8 between Q and DQ, each float16 result of the rest rounded.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.accuracy import Predictions, score_people
from amfac_edge.errors import GateError, InputError
from amfac_edge.graph.half import half_graph
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.graph.parity import normalised
from amfac_edge.keypoints import SimccCode, crop_affines, transform_points
from amfac_edge.pipeline.int8_ranges import int8_ranges
from amfac_edge.quantization.people import calibration_crops, calibration_people, crops_of, digest_of
from amfac_edge.quantization.placement import default_placement
from amfac_edge.quantization.qdq import quantised
from amfac_edge.quantization.ranges import METHODS
from amfac_edge.quantization.search import search_budget
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.pipeline.sources import Source

__all__ = ["Int8Request", "Judged", "QuantisedGraph", "quantised_graph"]


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
class Judged:
    """How a graph does on the held-out people.

    Attributes:
        ap: by OKS, 0 to 100; None where nobody is labelled, and the shift alone judges.
        shift_px: distances from the FP32 network's joints in crop pixels: mean, 50th and 99th percentile.
        identical: part of the joints in the same bin.
    """

    ap: float | None
    shift_px: tuple[float, float, float]
    identical: float

    def lost_ap(self, reference: Judged) -> float:
        """Points of AP that `reference` has more; 0 where nobody is labelled."""
        return 0.0 if self.ap is None or reference.ap is None else reference.ap - self.ap

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"ap": self.ap, "shift_px_mean_p50_p99": list(self.shift_px), "identical": self.identical}


@dataclass(frozen=True)
class QuantisedGraph:
    """A raw graph in INT8 that passed the gate.

    Attributes:
        model: typed: INT8 between Q and DQ, the rest in float16, or in float32 for the CPU.
        evidence: for the manifest.
    """

    model: ModelProto
    evidence: dict[str, Any]


def quantised_graph(
    source: Source, raw: ModelProto, request: Int8Request, *, half: bool, say: Callable[[str], None]
) -> QuantisedGraph:
    """Quantise `raw`, and hold it against `source`.

    Args:
        source: what is exported; its network is the reference.
        raw: its raw graph, float32, simplified.
        request: what it is made from and may cost.
        half: whether the rest computes in float16.
        say: called with a line at each step.

    Raises:
        GateError: no placement holds the budget.
        InputError: the set is too small, shows nothing, or a node of `exclude` isn't there.
        ModelFileError: the graph can't be quantised.
    """
    recipe = source.recipe
    chosen = calibration_people(request.calibration, recipe)
    say(f"calibrating with {len(chosen.people)} people of {chosen.name}, judged by {len(chosen.held_out)} others")
    crops = calibration_crops(chosen, recipe)
    placement = default_placement(raw).without(request.exclude)
    ranges = int8_ranges(source, raw, crops, method=request.method, use_cache=request.use_cache, say=say).ranges
    judge = _Judge(source, chosen.held_out, half=half)
    limit = request.max_shift_px or max(recipe.crop.height, recipe.crop.width) / 200

    def used(model: ModelProto) -> float:
        """The larger part of the two budgets that is used up."""
        found = judge.of(model)
        return max(found.lost_ap(judge.reference) / request.max_ap_drop, found.shift_px[0] / limit)

    def told(done: int, of: int) -> None:
        if done in (1, of) or done % 10 == 0:
            say(f"over the budget: what each node costs alone, {done} of {of}")

    result = search_budget(raw, ranges, placement, used, 1.0, progress=told)
    model = quantised(raw, ranges, result.placement).model
    final = judge.of(model)
    evidence = {
        "calibration": {
            "set": chosen.name, "people": len(chosen.people), "held_out": len(chosen.held_out),
            "crops_sha256": digest_of(crops), "method": request.method,
        },
        "budget": {"ap": request.max_ap_drop, "shift_px": limit},
        "fp32": judge.reference.as_json(),
        "int8": final.as_json(),
        "mac_share": result.placement.mac_share(raw),
        "nodes": list(result.placement.nodes),
        "given_back": [each.node for each in result.ranking if each.node not in result.placement.nodes],
        "sensitivity": [dataclasses.asdict(each) for each in result.ranking],
        "curve": [dataclasses.asdict(point) for point in result.curve],
    }  # fmt: skip
    if not result.within_budget:
        lost = "" if final.ap is None else f"AP {judge.reference.ap:.1f} -> {final.ap:.1f} "
        lost += lost and f"(at most {request.max_ap_drop:g} points), "
        raise GateError(
            f"{source.path}: INT8 is over its budget with one node left in it: {lost}joints move by "
            f"{final.shift_px[0]:.2f} px in the mean (at most {limit:.2f})",
            cure="Nothing was written. Use FP16, a better calibration set, or a wider budget (--max-ap-drop).",
        )
    return QuantisedGraph(half_graph(model) if half else model, evidence)


class _Judge:
    """The held-out people, and what the FP32 network finds of them."""

    def __init__(self, source: Source, people: PeopleSet, *, half: bool) -> None:
        self._recipe: Recipe = source.recipe
        self._people = people
        self._half = half
        crops = np.stack(list(crops_of(people, self._recipe)))
        self._images = normalised(crops, self._recipe)
        self._keypoints, scores = self._decoded(source.model.logits(self._images))
        self.reference = self._judged(self._keypoints, scores)

    def of(self, model: ModelProto) -> Judged:
        """Judge a float32 graph with Q/DQ as it would ship."""
        if self._half:
            model = rounded_twin(half_graph(model))
        graph = RawGraph(model.SerializeToString(), name="the quantised graph")
        size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
        name = model.graph.input[0].name
        parts = [graph.run({name: np.repeat(image[None], size, axis=0)}) for image in self._images]
        x, y = (np.concatenate([part[index][:1] for part in parts]) for index in (0, 1))
        return self._judged(*self._decoded((x, y)))

    def _decoded(
        self, logits: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return SimccCode.of(self._recipe).decode(*logits, self._recipe.temperature)

    def _judged(self, keypoints: NDArray[np.float32], scores: NDArray[np.float32]) -> Judged:
        people = self._people
        affines = crop_affines(people.boxes, self._recipe.crop)
        places = transform_points(keypoints, affines)
        # Every person is asked for, and none competes with another: its score decides nothing but the order.
        predictions = Predictions(
            people.image_ids, places, scores.astype(np.float64), scores.mean(axis=1, dtype=np.float64), people.boxes
        )
        shift = np.hypot(*np.moveaxis(keypoints.astype(np.float64) - self._keypoints, -1, 0))
        middle, most = (float(np.percentile(shift, percent)) for percent in (50, 99))
        same = float((shift < 0.005 / self._recipe.split_ratio).mean())
        ap = None
        if people.labelled.any():
            ap = 100 * float(score_people(people, predictions, "coco").metrics["AP"] or 0.0)
        return Judged(ap, (float(shift.mean()), middle, most), same)
