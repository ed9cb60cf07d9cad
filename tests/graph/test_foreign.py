"""A graph with the names of a SimCC network, whose shapes say that it is none, is refused by its shapes."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from amfac_edge.errors import ModelFileError
from amfac_edge.graph.foreign import foreign_recipe, raw_simcc_graph

HEIGHT, WIDTH, JOINTS = 256, 192, 17


def named_simcc(x: list[int | str] | None, y: list[int | str] | None) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, HEIGHT, WIDTH])
    nodes = [helper.make_node("Reshape", ["image", f"{axis}_shape"], [f"simcc_{axis}"]) for axis in "xy"]
    outputs = [
        helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, shape) for axis, shape in (("x", x), ("y", y))
    ]
    return helper.make_model(helper.make_graph(nodes, "g", [image], outputs))


def test_two_bins_a_pixel() -> None:
    raw = raw_simcc_graph(named_simcc(["batch", JOINTS, 384], ["batch", JOINTS, 512]), where="a.onnx")
    recipe = foreign_recipe(raw, None, name="a", where="a.onnx")
    assert (recipe.skeleton, recipe.bins) == ("coco-17", (384, 512))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 384], [1, 512]),
        ([], []),
        (None, None),
        (["batch", JOINTS, 384, 1], ["batch", JOINTS, 512]),
        (["batch", JOINTS, 384], ["batch", JOINTS, 500]),
        (["batch", JOINTS, 512], ["batch", JOINTS, 384]),
        (["batch", JOINTS, 0], ["batch", JOINTS, 0]),
        (["batch", JOINTS, "bins"], ["batch", JOINTS, 512]),
        (["batch", 14, 384], ["batch", JOINTS, 512]),
    ],
)
def test_logits_of_another_shape_are_refused(x: list[int | str] | None, y: list[int | str] | None) -> None:
    raw = raw_simcc_graph(named_simcc(x, y), where="a.onnx")
    with pytest.raises(ModelFileError, match=r"a.onnx: input \['batch', 3, 256, 192\], outputs .* don't fit together"):
        foreign_recipe(raw, None, name="a", where="a.onnx")
