"""onnxsim, in a child process with a time limit, and never silently: what it changed is counted and returned."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import MissingExtraError
from amfac_edge.graph.onnx_values import opset_of

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Simplification", "simplified"]

_SECONDS = 120.0


@dataclass(frozen=True)
class Simplification:
    """What the simplifier did.

    Attributes:
        applied: whether its result is used.
        reason: why not, empty where it is.
        before: operators and how often each stood in the graph.
        after: the same afterwards.
    """

    applied: bool
    reason: str
    before: dict[str, int]
    after: dict[str, int]

    def as_json(self) -> dict[str, object]:
        """For the manifest: node counts, and the operators whose number changed."""
        changed = {
            operator: [self.before.get(operator, 0), self.after.get(operator, 0)]
            for operator in sorted({*self.before, *self.after})
            if self.before.get(operator, 0) != self.after.get(operator, 0)
        }
        nodes = [sum(self.before.values()), sum(self.after.values())]
        return {"tool": "onnxsim", "applied": self.applied, "reason": self.reason, "nodes": nodes, "operators": changed}


def simplified(model: ModelProto, *, timeout_s: float = _SECONDS) -> tuple[ModelProto, Simplification]:
    """`model` as onnxsim simplifies it, or `model` itself where onnxsim fails, takes too long, or changes the opset.

    The caller still proves that both compute the same: see `parity`.
    """
    with tempfile.TemporaryDirectory(prefix="amfac-simplify-") as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        onnx.save_model(model, source)
        try:
            reason = call_in_child(
                f"{__name__}:_simplify_file", timeout_s=timeout_s, source=str(source), target=str(target)
            )
        except ChildFailure as failure:
            reason = failure.reason
        result = onnx.load(target) if target.exists() and not reason else model
    if opset_of(result) != opset_of(model) or result.ir_version != model.ir_version:
        result, reason = model, f"it changed opset {opset_of(model)} to {opset_of(result)}"
    return result, Simplification(not reason, reason, _operators(model), _operators(result))


def _simplify_file(source: str, target: str) -> str:
    try:
        import onnxsim  # noqa: PLC0415 - it imports torch, and only the child needs it
    except ImportError as error:
        raise MissingExtraError.of("onnxsim", "export", use="simplifying a graph") from error
    model, agrees = onnxsim.simplify(onnx.load(source))
    if not agrees:
        return "its own check found different outputs"
    onnx.save_model(model, target)
    return ""


def _operators(model: ModelProto) -> dict[str, int]:
    return dict(Counter(node.op_type for node in model.graph.node))
