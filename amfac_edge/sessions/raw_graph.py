"""Any ONNX graph over ONNX Runtime on the CPU, names to arrays: for the checks of an export, not for cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amfac_edge.errors import MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RawGraph"]

# What goes wrong comes as an exception; onnxruntime's own lines would stand beside our message.
_FATAL_ONLY = 4


class RawGraph:
    """A loaded graph.

    Args:
        model: the serialised ONNX.
        name: what it is, for the messages.
        optimised: False runs the operators exactly as the file has them.
        threads: that one call may use; 0 for all cores.

    Raises:
        ModelFileError: ONNX Runtime refuses the graph.
        MissingExtraError: onnxruntime isn't installed.
    """

    def __init__(self, model: bytes, *, name: str, optimised: bool = True, threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError.of("onnxruntime", "cpu", use="checking an export") from error
        levels = onnxruntime.GraphOptimizationLevel
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.intra_op_num_threads = threads
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        self._name = name
        try:
            self._engine: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise self._failure("can't load it", error) from error
        self.outputs: list[str] = [output.name for output in self._engine.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.float32]]:
        """All outputs for the named inputs, whose shapes are the graph's own.

        Raises:
            ModelFileError: it failed while running.
        """
        try:
            return list(self._engine.run(self.outputs, dict(feeds)))
        except Exception as error:  # as above
            raise self._failure("failed while running it", error) from error

    def _failure(self, what: str, error: Exception) -> ModelFileError:
        line = str(error).strip().partition("\n")[0][:300]
        return ModelFileError(
            f"{self._name}: onnxruntime {what}: {line}",
            cure="Export the model again, at opset 19 if it is from elsewhere.",
        )
