"""What an ONNX file says of itself, read without onnx: a board has none, and a hostile file meets no native parser.

An ONNX file is one protobuf message. Only the outermost fields of the model and of its graph are walked; nodes are
counted and weights are stepped over. The field numbers are those of onnx.proto (https://github.com/onnx/onnx).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact.manifest import TensorSpec
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.files import file_bytes

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OnnxHeader", "read_onnx_header"]

_LARGEST_FILE = (1 << 31) - 1
_MOST_FIELDS = 1_000_000
# Kinds of fields on the wire, and the length of those that have a fixed one.
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
}


@dataclass(frozen=True)
class OnnxHeader:
    """The facts of an ONNX file that need no weights.

    Attributes:
        ir_version: of the format.
        producer: name and version of the exporter.
        opsets: version by domain; "" is ONNX's own.
        metadata: string to string.
        inputs: of the graph.
        outputs: of the graph.
        nodes: how many.
    """

    ir_version: int
    producer: str
    opsets: dict[str, int]
    metadata: dict[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: int


def read_onnx_header(path: Path) -> OnnxHeader:
    """Read the header of an ONNX file.

    Raises:
        ModelFileError: absent, larger than a protobuf can be, cut short, damaged, or no ONNX file.
    """
    try:
        content = file_bytes(path, limit=_LARGEST_FILE, what="ONNX file")
    except InputError as error:
        raise ModelFileError(error.problem, cure=error.cure) from error
    try:
        return _header(_Message(memoryview(content)))
    except ValueError as error:
        raise ModelFileError(
            f"{path}: not an ONNX file, or a damaged one: {error}",
            cure="Copy the file once more from where it came from.",
        ) from error


class _Message:
    """The fields of one protobuf message by number: `numbers` the varints, `parts` the length-delimited ones."""

    def __init__(self, data: memoryview) -> None:
        self.numbers: defaultdict[int, list[int]] = defaultdict(list)
        self.parts: defaultdict[int, list[memoryview]] = defaultdict(list)
        position = count = 0
        while position < len(data):
            tag, position = _varint(data, position)
            position = self._field(data, position, tag >> 3, tag & 7)
            count += 1
            if count > _MOST_FIELDS:
                raise ValueError(f"more than {_MOST_FIELDS:,} fields in one message")

    def number(self, field: int) -> int:
        """The last value of a field, as protobuf reads it; 0 where it is absent."""
        return self.numbers[field][-1] if self.numbers[field] else 0

    def text(self, field: int) -> str:
        """The same for a string, "" where it is absent."""
        return bytes(self.parts[field][-1]).decode("utf-8", "replace") if self.parts[field] else ""

    def messages(self, field: int) -> list[_Message]:
        """The messages of a repeated field."""
        return [_Message(part) for part in self.parts[field]]

    def _field(self, data: memoryview, position: int, field: int, kind: int) -> int:
        """Take one field; return where the next one starts."""
        if field == 0:
            raise ValueError(f"a field without a number at byte {position}")
        if kind == _VARINT:
            number, position = _varint(data, position)
            self.numbers[field].append(number)
            return position
        if kind == _BYTES:
            length, position = _varint(data, position)
            self.parts[field].append(data[position : position + length])
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"a field of unknown kind {kind} at byte {position}")
        if position + length > len(data):
            raise ValueError(f"{position + length - len(data):,} bytes are missing")
        return position + length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number in protobuf's seven bits a byte, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends within a number")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more bytes follow
            return number, position
    raise ValueError(f"a number of more than ten bytes before byte {position}")


def _header(model: _Message) -> OnnxHeader:
    """ModelProto: 1 ir_version, 2 and 3 producer, 7 graph, 8 opset_import, 14 metadata_props."""
    if not model.number(1) or not model.parts[7]:
        raise ValueError("it has no graph")
    (graph,) = model.messages(7)[-1:]
    return OnnxHeader(
        ir_version=model.number(1),
        producer=f"{model.text(2)} {model.text(3)}".strip(),
        opsets={opset.text(1): opset.number(2) for opset in model.messages(8)},
        metadata={entry.text(1): entry.text(2) for entry in model.messages(14)},
        inputs=tuple(_tensor(value) for value in graph.messages(11)),
        outputs=tuple(_tensor(value) for value in graph.messages(12)),
        nodes=len(graph.parts[1]),
    )


def _tensor(value: _Message) -> TensorSpec:
    """ValueInfoProto: 1 name, 2 type; TypeProto: 1 tensor_type; its Tensor: 1 elem_type, 2 shape."""
    shapes = [
        (tensor.number(1), shape)
        for kind in value.messages(2)
        for tensor in kind.messages(1)
        for shape in tensor.messages(2)
    ]
    element, shape = shapes[-1] if shapes else (0, _Message(memoryview(b"")))
    axes = tuple(axis.number(1) if axis.numbers[1] else axis.text(2) or "?" for axis in shape.messages(1))
    return TensorSpec(value.text(1), _DTYPES.get(element, f"type {element}"), axes)
