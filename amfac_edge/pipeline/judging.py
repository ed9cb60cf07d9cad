"""How a quantised graph does beside the network that it was made from, on people whom it wasn't calibrated with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from amfac_edge.accuracy import Predictions, score_people
from amfac_edge.accuracy.bootstrap import paired_difference
from amfac_edge.accuracy.coco_evaluator import matched_people
from amfac_edge.accuracy.pck import pck
from amfac_edge.graph.half import half_graph
from amfac_edge.graph.half_rounding import rounded_twin
from amfac_edge.graph.parity import normalised
from amfac_edge.graph.passes import fastest_on_cpu
from amfac_edge.keypoints import SimccCode, crop_affines, transform_points
from amfac_edge.quantization.people import crops_of
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.datasets import PeopleSet
    from amfac_edge.declared.recipe import Recipe
    from amfac_edge.pipeline.sources import Source

__all__ = ["Disturbance", "Judge", "Judged", "predictions_of"]

_RESAMPLES = 1000
# Of a bin: nearer than this it is the same one, whatever float32 made of its place.
_SAME = 0.005

_Logits = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


@dataclass(frozen=True)
class Judged:
    """How a graph does on the held-out people.

    Attributes:
        ap: by OKS, 0 to 100; None where nobody is labelled, and the shift alone judges.
        pck: joints within a tenth of the box's longer side, 0 to 100; None as above.
        shift_px: distances from the FP32 network's joints in crop pixels: mean, 50th and 99th percentile.
        identical: part of the joints in the same bin.
        predictions: that were scored.
    """

    ap: float | None
    pck: float | None
    shift_px: tuple[float, float, float]
    identical: float
    predictions: Predictions = field(repr=False)

    def lost_ap(self, reference: Judged) -> float:
        """Points of AP that `reference` has more; 0 where nobody is labelled."""
        return 0.0 if self.ap is None or reference.ap is None else reference.ap - self.ap

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "ap": self.ap,
            "pck": self.pck,
            "shift_px_mean_p50_p99": list(self.shift_px),
            "identical": self.identical,
        }


class Judge:
    """The held-out people, and what the FP32 network finds of them.

    Args:
        source: of the network.
        people: one on a picture.

    Attributes:
        people: those.
        reference: the network itself.
    """

    def __init__(self, source: Source, people: PeopleSet) -> None:
        self._recipe: Recipe = source.recipe
        self.people = people
        self._images = normalised(np.stack(list(crops_of(people, self._recipe))), self._recipe)
        self._keypoints, scores = self._decoded(source.model.logits(self._images))
        self.reference = self._judged(self._keypoints, scores)

    def of(self, model: ModelProto, *, half: bool) -> Judged:
        """Judge a float32 graph, with Q/DQ or without, as it would ship.

        Args:
            model: with logits as outputs.
            half: whether it then computes in float16 outside of INT8.
        """
        if half:
            # ONNX Runtime on a CPU would leave the rounding out, and be too kind.
            model = rounded_twin(half_graph(model))
        return self._judged(*self._decoded(_logits_of(model, self._images)))

    def ap_loss_interval(self, judged: Judged) -> list[float] | None:
        """The 95 % interval of the points of AP that are lost, by a paired bootstrap over the pictures.

        None where nobody is labelled.
        """
        if judged.ap is None:
            return None
        one, other = (matched_people(self.people, each.predictions) for each in (self.reference, judged))
        interval = paired_difference(one, other, _RESAMPLES)["AP"]
        return [100 * interval.low, 100 * interval.high]

    def _decoded(self, logits: _Logits) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return SimccCode.of(self._recipe).decode(*logits, self._recipe.temperature)

    def _judged(self, keypoints: NDArray[np.float32], scores: NDArray[np.float32]) -> Judged:
        people = self.people
        predictions = predictions_of(people, self._recipe, keypoints, scores)
        shift = np.hypot(*np.moveaxis(keypoints.astype(np.float64) - self._keypoints, -1, 0))
        middle, most = (float(np.percentile(shift, percent)) for percent in (50, 99))
        same = float((shift < _SAME / self._recipe.split_ratio).mean())
        moved = (float(shift.mean()), middle, most)
        if not people.labelled.any():
            return Judged(None, None, moved, same, predictions)
        ap = score_people(people, predictions, "coco").metrics["AP"]
        found = pck(people, predictions).value
        return Judged(100 * float(ap or 0.0), 100 * found, moved, same, predictions)


class Disturbance:
    """How much a graph's logits differ from those of the FP32 network: the power of the error beside their variance.

    The errors of single nodes add up in it, nearly, and it needs no labels and few crops: good for ranking.

    Args:
        source: of the network.
        crops: (N,H,W,3) uint8 BGR.
    """

    def __init__(self, source: Source, crops: NDArray[np.uint8]) -> None:
        self._images = normalised(crops, source.recipe)
        self._logits = source.model.logits(self._images)

    def of(self, model: ModelProto) -> float:
        """Of a float32 graph with Q/DQ."""
        found = _logits_of(model, self._images)
        return sum(
            float(np.square(one.astype(np.float64) - other).mean() / max(np.var(other, dtype=np.float64), 1e-30))
            for one, other in zip(found, self._logits, strict=True)
        ) / len(found)


def predictions_of(
    people: PeopleSet, recipe: Recipe, keypoints: NDArray[np.float32], scores: NDArray[np.float32]
) -> Predictions:
    """What was found in the crops of `people`, on their pictures.

    Args:
        people: N, one on a picture.
        recipe: that the crops were cut by.
        keypoints: (N,K,2) in crop pixels.
        scores: (N,K).
    """
    places = transform_points(keypoints, crop_affines(people.boxes, recipe.crop))
    # Every person is asked for, and none competes with another: its score decides nothing but the order.
    sure = scores.mean(axis=1, dtype=np.float64)
    return Predictions(people.image_ids, places, scores.astype(np.float64), sure, people.boxes)


def _logits_of(model: ModelProto, images: NDArray[np.float32]) -> _Logits:
    """The logits of a raw graph for images (N,3,H,W), one at a time; (N,K,W·k) and (N,K,H·k)."""
    fast = onnx.ModelProto()
    fast.CopyFrom(model)
    fastest_on_cpu(fast)
    graph = RawGraph(fast.SerializeToString(), name="the quantised graph")
    size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    name = model.graph.input[0].name
    parts = [graph.run({name: np.repeat(image[None], size, axis=0)}) for image in images]
    x, y = (np.concatenate([part[index][:1] for part in parts]) for index in (0, 1))
    return x, y
