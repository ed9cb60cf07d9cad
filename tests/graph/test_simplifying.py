"""The simplifier's result is used only where it is one, and what it did is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from amfac_edge.children import ChildFailure
from amfac_edge.graph import simplifying
from amfac_edge.graph.simplifying import simplified


@pytest.fixture
def model() -> ModelProto:
    """y = x + (1 + 2): the constants can be folded."""
    constants = [numpy_helper.from_array(np.full(3, value, np.float32), name) for name, value in (("a", 1), ("b", 2))]
    nodes = [helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [3])], [value("y", TensorProto.FLOAT, [3])], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def test_what_changed_is_counted(model: ModelProto) -> None:
    result, found = simplified(model)
    assert len(result.graph.node) == 1
    assert found.as_json() == {
        "tool": "onnxsim",
        "applied": True,
        "reason": "",
        "nodes": [2, 1],
        "operators": {"Add": [2, 1]},
    }


def test_out_of_time_the_model_stays(model: ModelProto) -> None:
    result, found = simplified(model, timeout_s=0.01)
    assert result == model
    assert (found.applied, found.reason) == (False, "no end after 0.01 s")


def test_a_crash_leaves_the_model(model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> str:
        raise ChildFailure("it was killed by SIGSEGV")

    monkeypatch.setattr(simplifying, "call_in_child", crash)
    result, found = simplified(model)
    assert result == model
    assert found.reason == "it was killed by SIGSEGV"


def test_another_opset_is_refused(model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(*_: object, target: str, **__: object) -> str:
        other = ModelProto()
        other.CopyFrom(model)
        other.opset_import[0].version = 18
        Path(target).write_bytes(other.SerializeToString())
        return ""

    monkeypatch.setattr(simplifying, "call_in_child", rewrite)
    result, found = simplified(model)
    assert result == model
    assert found.reason == "it changed opset 19 to 18"
