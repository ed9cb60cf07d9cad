"""Files from outside: each fault is one sentence, and none takes the parent with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from amfac_edge.errors import AmfacError, ModelFileError
from amfac_edge.graph.checking import checked_model, load_checked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def sound() -> ModelProto:
    """y = relu(x W + b), all of it stored."""
    weights = numpy_helper.from_array(np.ones((4, 3), np.float32), "W")
    bias = numpy_helper.from_array(np.zeros(3, np.float32), "b")
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["product"], name="product"),
        helper.make_node("Add", ["product", "b"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["y"], name="relu"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 4])], [value("y", TensorProto.FLOAT, [1, 3])], [weights, bias]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


def without_weights(model: ModelProto) -> None:
    del model.graph.initializer[0]


def wrong_size(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def wrong_shape(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [3, 4]


def cycle(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "sum"


def nan_weights(model: ModelProto) -> None:
    values = numpy_helper.to_array(model.graph.initializer[1]).copy()
    values[1] = np.nan
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(values, "b"))


def outside(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def newer_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 99


def newer_ir(model: ModelProto) -> None:
    model.ir_version = 99


def unknown_operator(model: ModelProto) -> None:
    model.graph.node[2].op_type = "Rleu"


def too_many(model: ModelProto) -> None:
    extra = [helper.make_node("Identity", ["y"], [f"i{index}"]) for index in range(20_001)]
    model.graph.node.extend(extra)


def endless(model: ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))  # noqa: FBT003 - a tensor
    model.graph.node.append(helper.make_node("Loop", ["", "yes"], [], name="forever", body=body))


def nan_in_a_branch(model: ModelProto) -> None:
    def branch(name: str, value: float) -> onnx.GraphProto:
        constant = numpy_helper.from_array(np.array([value], np.float32), f"{name}_value")
        node = helper.make_node("Constant", [], [name], value=constant)
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])])

    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))  # noqa: FBT003 - a tensor
    node: NodeProto = helper.make_node(
        "If", ["yes"], ["chosen"], then_branch=branch("then", 1.0), else_branch=branch("otherwise", float("inf"))
    )
    model.graph.node.append(node)


FAULTS: list[tuple[Callable[[ModelProto], None], str]] = [
    (without_weights, "node product needs W, which nothing makes: an initialiser is missing"),
    (wrong_size, "the weights of W don't have the size of their shape"),
    (wrong_shape, "contradicts itself"),
    (cycle, "node product needs sum, which is made only after it: a cycle"),
    (nan_weights, "1 of the weights of b are NaN or infinite"),
    (outside, r"the weights of W lie outside the file \(\.\./\.\./etc/passwd\)"),
    (newer_opset, r"opset 99 is not supported \(supported: 11 to 23\)"),
    (newer_ir, "IR version 99 is newer than"),
    (unknown_operator, "Rleu"),
    (too_many, "20,004 nodes, more than the 20,000"),
    (endless, "node forever is a Loop, which may never end"),
    (nan_in_a_branch, "1 of the weights of otherwise_value are NaN or infinite"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_is_named(fault: Callable[[ModelProto], None], message: str, tmp_path: Path) -> None:
    model = sound()
    fault(model)
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=message) as caught:
        load_checked(path)
    assert str(path) in caught.value.problem
    assert caught.value.cure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (sound().SerializeToString()[:60], r"not an ONNX|truncated|contradicts|nothing makes"),
        (np.random.default_rng(0).bytes(4096), "not an ONNX file"),
        (b"<!DOCTYPE html><html>404</html>", "not an ONNX"),
    ],
)
def test_what_is_no_onnx(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_checked(path)


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_what_is_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(AmfacError, match=r"does not exist|is not a file"):
        load_checked(tmp_path / name)


def test_what_loads_and_cant_be_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = sound()
    # On grey of 0.5 the largest sum is 2: no shape for three values.
    model.graph.node[2].CopyFrom(helper.make_node("ReduceMax", ["sum"], ["most"], keepdims=0))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["most"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Unsqueeze", ["whole", "first"], ["shape"]),
            helper.make_node("Reshape", ["sum", "shape"], ["y"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "any"
    path = tmp_path / "runs.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="onnxruntime failed while running it"):
        load_checked(path)
    assert capfd.readouterr().err == ""


def test_a_trial_is_done_in_the_child(tmp_path: Path) -> None:
    path = tmp_path / "sound.onnx"
    onnx.save(sound(), path)
    with pytest.raises(ModelFileError, match=r"its outputs \(y \[1, 3\]\) are not those of a detector"):
        checked_model(path, trial="amfac_edge.graph.detectors:try_detector", size=None)


def test_a_sound_file_passes_through_the_child(tmp_path: Path) -> None:
    path = tmp_path / "sound.onnx"
    onnx.save(sound(), path)
    assert checked_model(path) == sound()


def test_a_fault_comes_back_from_the_child(tmp_path: Path) -> None:
    model = sound()
    nan_weights(model)
    path = tmp_path / "nan.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="NaN or infinite"):
        checked_model(path)


def test_a_check_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "sound.onnx"
    onnx.save(sound(), path)
    with pytest.raises(ModelFileError, match=r"did not survive this file: no end after 0\.01 s"):
        checked_model(path, timeout_s=0.01)


def test_mutated_files_never_escape(tmp_path: Path) -> None:
    content = bytearray(sound().SerializeToString())
    random = np.random.default_rng(1)
    path = tmp_path / "mutated.onnx"
    for _ in range(300):
        mutated = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            mutated[place] = random.integers(0, 256)
        path.write_bytes(mutated)
        try:
            load_checked(path)
        except ModelFileError:
            continue
