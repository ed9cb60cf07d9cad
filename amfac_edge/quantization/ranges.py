"""How far the tensors go that are quantised, over calibration crops.

Minimum and maximum, a percentile, or the entropy method of ONNX Runtime, on histograms that grow with what comes. One
crop is run at a time: the tensors of a 384x288 crop alone take a quarter of a gigabyte.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from amfac_edge.errors import InputError, MissingExtraError, ModelFileError
from amfac_edge.graph.passes import fastest_on_cpu
from amfac_edge.quantization.placement import residual_inputs
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.quantization.placement import Placement

__all__ = ["HOW", "METHODS", "Magnitudes", "Ranges", "calibrated_ranges", "quantised_inputs"]

METHODS = ("percentile", "minmax", "entropy")
_PERCENTILE = 99.99
_BINS = 2048
_ENTROPY_BINS = 128
# Half a megabyte for each tensor, and still 32 times as fine as `_BINS` when they are merged.
_MOST_BINS = 1 << 16
# A histogram of every fourth value has the same percentiles, and takes a quarter of the time.
_STRIDE = 4

HOW = f"percentile {_PERCENTILE}, {_BINS} to {_MOST_BINS} and {_ENTROPY_BINS} bins, every {_STRIDE}th value"
"""What ranges depend on besides the graph and the crops; a cache must not outlive a change of it."""


@dataclass(frozen=True)
class Ranges:
    """The largest magnitude that each quantised tensor is given.

    Attributes:
        method: one of `METHODS`.
        crops: how many were run.
        largest: by tensor; symmetric, so that one number is the range.
    """

    method: str
    crops: int
    largest: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """For a cache and the manifest."""
        return {"method": self.method, "crops": self.crops, "largest": dict(self.largest)}


def quantised_inputs(raw: ModelProto, placement: Placement) -> tuple[str, ...]:
    """The tensors that are quantised for the nodes of `placement`, each once: what they take, and shortcuts."""
    inside = set(placement.nodes)
    taken = (node.input[0] for node in raw.graph.node if node.name in inside)
    return tuple(dict.fromkeys((*taken, *residual_inputs(raw, placement).values())))


def calibrated_ranges(
    raw: ModelProto,
    placement: Placement,
    images: Iterable[NDArray[np.float32]],
    *,
    method: str = METHODS[0],
    progress: Callable[[int], None] | None = None,
) -> Ranges:
    """Run `raw` on `images` and see how far the inputs of the nodes of `placement` go.

    Args:
        raw: float32 raw graph.
        placement: of its nodes.
        images: (1,3,H,W) float32 each, normalised as the network takes them.
        method: "percentile" (99.99 of the magnitudes), "minmax" or "entropy".
        progress: called with the number of crops that were run.

    Raises:
        InputError: another method, or no images.
        ModelFileError: a tensor has values that are no numbers; which one, and on which crop.
    """
    if method not in METHODS:
        raise InputError(f'calibration method "{method}"', cure=f"Give one of {', '.join(METHODS)}.")
    names = quantised_inputs(raw, placement)
    probe = _with_outputs(raw, names)
    source = raw.graph.input[0]
    size = source.type.tensor_type.shape.dim[0].dim_value or 1
    histograms = {name: Magnitudes() for name in names}
    engine = RawGraph(probe.SerializeToString(), name="calibration")
    count = 0
    for image in images:
        found = engine.run({source.name: np.repeat(image, size, axis=0)})
        for name, values in zip(names, found, strict=True):
            first = values[:1].ravel()
            top = _largest_magnitude(name, first, count)
            histograms[name].add(first[::_STRIDE], top)
        count += 1
        if progress is not None:
            progress(count)
    if not count:
        raise InputError("no crops to calibrate with", cure="Name a calibration set that has people: --calib NAME.")
    return Ranges(method, count, {name: histogram.largest(method) for name, histogram in histograms.items()})


def _with_outputs(raw: ModelProto, names: Iterable[str]) -> ModelProto:
    probe = onnx.ModelProto()
    probe.CopyFrom(raw)
    # As the CPU computes it fastest; the tensors in question keep their names and, but for the last bits, their values.
    fastest_on_cpu(probe)
    graph = probe.graph
    del graph.output[:]
    for name in names:
        if name == graph.input[0].name:
            # An input can't be an output as well without a node between them.
            graph.node.append(helper.make_node("Identity", [name], [_INPUT]))
        graph.output.append(
            helper.make_tensor_value_info(_INPUT if name == graph.input[0].name else name, TensorProto.FLOAT, None)
        )
    return probe


_INPUT = "amfac/calibration/input"


def _largest_magnitude(name: str, values: NDArray[np.float32], crop: int) -> float:
    # A NaN comes through either.
    lowest, highest = float(values.min()), float(values.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ModelFileError(
            f"tensor {name} has values that are no numbers on calibration crop {crop}",
            cure="Check the weights (amfac-info FILE); a network that overflows in FP32 can't be quantised.",
        )
    return max(highest, -lowest)


# Magnitudes are divided by it in float32.
_SMALLEST_WIDTH = float(np.finfo(np.float32).tiny)


@dataclass
class Magnitudes:
    """A histogram of magnitudes in bins of one width, which grows with what comes, and doubles the width in time."""

    width: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    top: float = 0.0

    def add(self, values: NDArray[np.float32], top: float) -> None:
        """Count `values`, (n,), a part of those whose largest magnitude is `top`."""
        self.top = max(self.top, top)
        if self.top == 0.0:
            return
        self.width = self.width or max(self.top / _BINS, _SMALLEST_WIDTH)
        while self.top / self.width > _MOST_BINS:
            self.width *= 2
            self.counts = np.add.reduceat(self.counts, np.arange(0, len(self.counts), 2))
        bins = max(int(np.ceil(self.top / self.width)), len(self.counts), 1)
        grown = np.zeros(bins, np.int64)
        grown[: len(self.counts)] = self.counts
        places = (np.abs(values) / self.width).astype(np.int64)
        grown += np.bincount(np.minimum(places, bins - 1), minlength=bins)
        self.counts = grown

    def largest(self, method: str) -> float:
        """By the method; never 0, which no scale could be made of."""
        if self.top == 0.0:
            return 1.0
        if method == "minmax":
            return self.top
        if method == "entropy":
            return min(_entropy(self.counts, self.width), self.top)
        share = np.cumsum(self.counts) / self.counts.sum()
        place = int(np.searchsorted(share, _PERCENTILE / 100))
        return min((place + 1) * self.width, self.top)


def _entropy(counts: NDArray[np.int64], width: float) -> float:
    """Where ONNX Runtime's entropy method cuts the histogram, mirrored about 0."""
    try:
        from onnxruntime.quantization.calibrate import HistogramCollector  # noqa: PLC0415 - for this method alone
    except ImportError as error:
        raise MissingExtraError.of("onnxruntime", "cpu", use="the entropy method") from error
    # Its search takes the square of the bins: a few hundred say as much.
    fold = -(-len(counts) // (_BINS // 2))
    folded = np.add.reduceat(counts, np.arange(0, len(counts), fold))
    edge = len(folded) * fold * width
    mirrored = np.concatenate([folded[::-1], folded])
    edges = np.linspace(-edge, edge, len(mirrored) + 1, dtype=np.float32)
    collector = HistogramCollector(
        method="entropy",
        symmetric=True,
        num_bins=len(mirrored),
        num_quantized_bins=_ENTROPY_BINS,
        percentile=_PERCENTILE,
        scenario="same",
    )
    with contextlib.redirect_stdout(io.StringIO()):
        histogram = (mirrored, edges, np.float32(-edge), np.float32(edge), np.float32(edge))
        found = collector.get_entropy_threshold(histogram, _ENTROPY_BINS)
    return float(max(abs(float(found[0])), abs(float(found[1]))))
