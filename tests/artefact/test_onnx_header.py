from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from amfac_edge.artefact import TensorSpec
from amfac_edge.artefact.onnx_header import read_onnx_header
from amfac_edge.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path


def _model() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["crops"], ["a"]), helper.make_node("Abs", ["a"], ["scores"])],
        "two nodes",
        [value("crops", TensorProto.FLOAT16, ["N", 3, None])],
        [value("scores", TensorProto.FLOAT, []), value("other", TensorProto.INT64, [300])],
        [helper.make_tensor("weights", TensorProto.FLOAT, [4], [1, 2, 3, 4])],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="pytest")
    model.producer_version = "9.0"
    helper.set_model_props(model, {"amfac.schema": "amfac-manifest/1", "größe": "ä" * 300})
    return model


def test_the_header_is_what_onnx_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_model(), path)
    header = read_onnx_header(path)
    assert (header.ir_version, header.producer, header.nodes) == (10, "pytest 9.0", 2)
    assert header.opsets == {"": 19, "com.microsoft": 1}
    assert header.metadata == {"amfac.schema": "amfac-manifest/1", "größe": "ä" * 300}
    assert header.inputs == (TensorSpec("crops", "float16", ("N", 3, "?")),)
    assert header.outputs == (TensorSpec("scores", "float32", ()), TensorSpec("other", "int64", (300,)))


def test_real_files_are_read(shared_data: Path) -> None:
    header = read_onnx_header(shared_data / "models" / "rtmdet_nano_person.onnx")
    assert [tensor.name for tensor in header.outputs] == ["dets", "labels"]
    assert header.inputs[0].shape == ("batch", 3, "height", "width")
    assert header.nodes == len(onnx.load(shared_data / "models" / "rtmdet_nano_person.onnx").graph.node)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no graph"),
        (b"\x08\x0a", "it has no graph"),
        (b"hello world, this is text", "kind"),
        (b"\x00\x01", "a field without a number at byte 1"),
        (b"\x3a\xff\xff\x03ab", "bytes are missing"),
        (b"\x3a" + b"\xff" * 11, "a number of more than ten bytes"),
        (b"\x3a\xff", "ends within a number"),
        (b"\x08\x01" * 1_000_001, "more than 1,000,000 fields"),
    ],
)
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"model\.onnx: not an ONNX file, or a damaged one: .*{message}"):
        read_onnx_header(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="the ONNX file does not exist"):
        read_onnx_header(tmp_path / "none.onnx")


@given(cut=st.integers(0, 500), byte=st.integers(0, 255), place=st.integers(0, 500))
def test_damage_is_an_error_or_a_header(
    tmp_path_factory: pytest.TempPathFactory, cut: int, byte: int, place: int
) -> None:
    content = bytearray(_model().SerializeToString())
    content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[: len(content) - cut % len(content)])
    try:
        header = read_onnx_header(path)
    except ModelFileError:
        return
    assert header.ir_version
