"""An FP16 artefact scored as it computes on a GPU: each float16 result is rounded.

ONNX Runtime's CPU provider would compute it in float32, and its score would be FP32's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.artefact import FP32, read_artefact
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from amfac_edge.artefact import Manifest
    from amfac_edge.declared.recipe import Recipe

__all__ = ["RoundedPredictor", "rounded_content"]


def rounded_content(path: Path) -> tuple[bytes, Manifest]:
    """The graph of an artefact as bytes, with float16 results rounded where it has any, and its manifest.

    Raises:
        ModelFileError: damaged, or without its manifest.
    """
    content, manifest = read_artefact(path)
    if manifest.precision != FP32:
        import onnx

        from amfac_edge.graph.half_rounding import rounded_twin  # noqa: PLC0415 - as above
        from amfac_edge.graph.passes import fastest_on_cpu  # noqa: PLC0415 - as above

        twin = rounded_twin(onnx.load_from_string(content))
        fastest_on_cpu(twin)
        content = twin.SerializeToString()
    return content, manifest


class RoundedPredictor:
    """Joints of crops by an artefact in half precision; a `Predictor`.

    Args:
        path: of the artefact: `crops` in, `keypoints` and `scores` out.

    Raises:
        ModelFileError: damaged, without its manifest, or ONNX Runtime refuses it.
    """

    def __init__(self, path: Path) -> None:
        content, self._manifest = rounded_content(path)
        self._graph = RawGraph(content, name=str(path))

    @property
    def recipe(self) -> Recipe:
        """See `Predictor`."""
        return self._manifest.recipe

    @property
    def trained(self) -> bool | None:
        """See `Predictor`."""
        return self._manifest.trained

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Predictor.run`."""
        name, batch = self._manifest.inputs[0].name, self._manifest.batch.maximum
        filled = np.concatenate([crops, np.repeat(crops[-1:], -len(crops) % batch, axis=0)])
        parts = [self._graph.run({name: filled[start : start + batch]}) for start in range(0, len(filled), batch)]
        columns: Sequence[NDArray[np.float32]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return columns[0][: len(crops)], columns[1][: len(crops)]
