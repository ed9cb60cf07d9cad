"""From a float32 graph to a typed float16 one: which of its values would leave the range of float16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.graph.half import HALF_LARGEST, half_graph, island_names
from amfac_edge.graph.half_rounding import largest_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.artefact import LayerCost

__all__ = ["Halved", "half_facts", "halved"]

# Pictures that nobody has shown it may reach further than those that were.
_RANGE_MARGIN = 4.0


@dataclass(frozen=True)
class Halved:
    """A typed graph, and what is known of it.

    Attributes:
        model: computes in float16 outside of islands.
        largest: the largest absolute value that was seen between its nodes in float32.
        kept: tensors that stay float32 since they pass a quarter of float16's largest value, and the value seen.
    """

    model: ModelProto
    largest: float
    kept: dict[str, float]


def halved(raw: ModelProto, images: NDArray[np.float32]) -> Halved:
    """`raw` in float16, but for what would overflow and what is an island anyway.

    Args:
        raw: float32 graph with one float32 input.
        images: (N,...) float32, what it is run on to see how far its values go.

    Raises:
        ModelFileError: it has control flow, or can't be run.
    """
    found = largest_values(raw, images)
    kept = {name: value for name, value in found.items() if value > HALF_LARGEST / _RANGE_MARGIN}
    return Halved(half_graph(raw, keep=kept), max(found.values(), default=0.0), kept)


def half_facts(half: Halved, model: ModelProto, layers: Sequence[LayerCost]) -> dict[str, object]:
    """What the manifest says of float16, counted in the graph that is written.

    Args:
        half: what was converted.
        model: the artefact's graph.
        layers: its costs.
    """
    whole = sum(layer.macs for layer in layers)
    share = sum(layer.macs for layer in layers if layer.dtype == "float16") / whole if whole else 0.0
    return {
        "mac_share": share,
        "islands": list(island_names(model)),
        "largest_value": half.largest,
        "kept_for_range": half.kept,
    }
