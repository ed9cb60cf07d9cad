"""Which graph INT8 starts from, and the ranges of its tensors: the same for an export and for a calibration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.graph.exporting import IR_VERSION
from amfac_edge.graph.passes import fastest_on_cpu
from amfac_edge.graph.simplifying import simplified
from amfac_edge.quantization.kept_ranges import Wanted, kept_ranges
from amfac_edge.quantization.placement import default_placement

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.artefact import BatchRange
    from amfac_edge.graph.simplifying import Simplification
    from amfac_edge.pipeline.sources import Source
    from amfac_edge.quantization.kept_ranges import KeptRanges

__all__ = ["int8_ranges", "raw_graph"]

_TOLD_EVERY = 32


def raw_graph(
    source: Source, batch: BatchRange, opset: int, *, for_cpu: bool, stage: Callable[[str], None] = lambda _: None
) -> tuple[ModelProto, Simplification]:
    """The float32 raw graph of `source`, as a target takes it, and what onnxsim changed in it.

    Args:
        source: of `read_source`.
        batch: persons in one call.
        opset: 19, or 17 for TensorRT 8.6.
        for_cpu: written as ONNX Runtime's CPU provider computes it fastest.
        stage: called with a line when the simplification begins.
    """
    raw = source.model.raw_graph(batch, opset)
    raw.ir_version = min(raw.ir_version, IR_VERSION)
    if for_cpu:
        fastest_on_cpu(raw)
    stage("simplifying with onnxsim, in a process of its own")
    return simplified(raw)


def int8_ranges(
    source: Source,
    raw: ModelProto,
    crops: NDArray[np.uint8],
    *,
    method: str,
    use_cache: bool = True,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] | None = None,
) -> KeptRanges:
    """The ranges of all that can be quantised in `raw`, from the cache where it has them.

    Args:
        source: that `raw` is of.
        raw: float32 raw graph, simplified.
        crops: (N,H,W,3) uint8 BGR.
        method: one of `quantization.ranges.METHODS`.
        use_cache: False takes them now, and keeps nothing.
        say: called with a line about the cache, and, without `progress`, with one every 32 crops.
        progress: called with the number of crops that were run.
    """

    def told(done: int) -> None:
        if done % _TOLD_EVERY == 0:
            say(f"calibrating: {done} of {len(crops)} crops")

    wanted = Wanted(raw, default_placement(raw), crops, source.recipe, method, source.digests)
    return kept_ranges(wanted, use_cache=use_cache, say=say, progress=progress or told)
