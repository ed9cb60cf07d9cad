"""What one process makes of mutated copies of an ONNX file: run by the test, which goes on where a process died.

mutated_graphs.py FILE FIRST LAST [build], writes a line for each copy before it is looked at, and one behind it.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import tempfile
from pathlib import Path

import onnx

from amfac_edge.artefact import RTX
from amfac_edge.compiler.building import BuildRequest, build_in_child
from amfac_edge.errors import AmfacError
from amfac_edge.graph.checking import load_checked

BUILT_IN_A_HUNDRED = 20
SIDES = (0, -1, 1, 3, 65_537, 1 << 40, -(1 << 63))
TYPES = ("Relu", "Loop", "Resize", "ArgMax", "Cast", "GridSample", "ScatterND", "Reshape", "Gather", "Nonsense")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A copy with bytes or, as often, parts of its structure changed."""
    if rng.random() < 0.5:
        return changed_bytes(content, rng)
    model = onnx.load_from_string(content)
    for _ in range(rng.randint(1, 3)):
        change_structure(model, rng)
    changed: bytes = model.SerializeToString()
    return changed


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(damaged))
        end = min(len(damaged), start + rng.choice([1, 1, 1, 2, 8, 64]))
        damaged[start:end] = rng.choice([rng.randbytes(end - start), b"", damaged[start:end] * 2, bytes(end - start)])
    return bytes(damaged)


def change_structure(model: onnx.ModelProto, rng: random.Random) -> None:
    """One change, of a node as often as of a tensor; none where there is nothing left to change."""
    if not model.graph.node or not model.graph.initializer:
        return
    rng.choice([change_node, change_tensor])(model, rng)


def change_node(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    kind = rng.randrange(4)
    if kind == 0:
        model.graph.node.remove(node)
    elif kind == 1:
        node.op_type = rng.choice(TYPES)
    elif kind == 2 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*rng.choice(model.graph.node).output, "", "nothing"])
    elif node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = rng.choice(SIDES)
        attribute.ints[:] = [rng.choice(SIDES) for _ in attribute.ints]


def change_tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = model.graph
    tensor = rng.choice(graph.initializer)
    kind = rng.randrange(4)
    sides = rng.choice([*graph.input, *graph.output]).type.tensor_type.shape.dim
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIDES)
    elif kind == 1:
        tensor.data_type = rng.randrange(24)
    elif kind == 2 and sides:
        rng.choice(sides).dim_value = rng.choice(SIDES)
    else:
        model.opset_import[0].version = rng.choice([1, 7, 11, 20, 23, 99])


def outcome(path: Path, *, build: bool) -> str:
    try:
        load_checked(path)
    except AmfacError:
        return "refused"
    if build:
        request = dataclasses.asdict(BuildRequest(RTX, ("8.6",), "amfac/1 mutated", {}))
        try:
            build_in_child(onnx=str(path), plan=f"{path}.plan", request=request)
        except AmfacError:
            return "refused by the builder"
        return "built"
    return "accepted"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(file: str, first: int, last: int, *, build: bool) -> None:
    content = Path(file).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.onnx"
        for number in range(first, last):
            rng = random.Random(number)  # noqa: S311 - the same mutations every time
            path.write_bytes(mutated(content, rng))
            say(str(number))
            say(outcome(path, build=build and number % 100 < BUILT_IN_A_HUNDRED))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), build="build" in sys.argv[4:])
