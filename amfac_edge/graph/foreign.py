"""SimCC networks from elsewhere: an ONNX that gives `simcc_x` and `simcc_y` (RTMPose and its kin).

Recognised by names, else by shapes. What an ONNX can't say (normalisation, crop rule, temperature) is taken from a
recipe of the user's own, else from what RTMPose's public configurations use: ImageNet mean and standard deviation on
RGB, the crop of MMPose's `TopdownAffine` with padding 1.25, bins at b/k, and the 10 that its loss multiplies logits by,
T = 0.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx

from amfac_edge.declared.recipe import CropRule, ForeignNetwork, Recipe, recipe_from_json
from amfac_edge.errors import ModelFileError
from amfac_edge.graph.exporting import RAW_OUTPUTS
from amfac_edge.graph.onnx_values import shape_of
from amfac_edge.keypoints import skeleton, skeleton_names

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

__all__ = ["foreign_recipe", "raw_simcc_graph"]

_IMAGE_AXES = 4
_CURE = (
    "Give an ONNX with one image input (N,3,H,W) and the outputs simcc_x (N,K,W·k) and simcc_y (N,K,H·k), or a person "
    "detector of the RTMDet or YOLOX family."
)


def raw_simcc_graph(model: ModelProto, *, where: str) -> ModelProto:
    """A copy of `model` that takes one float32 image and gives x logits, then y logits, and nothing else.

    Raises:
        ModelFileError: it isn't a SimCC network.
    """
    initialisers = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in initialisers]
    if not (len(images) == 1 and len(shape_of(images[0])) == _IMAGE_AXES and _is_float32(images[0])):
        shown = ", ".join(f"{value.name} {list(shape_of(value))}" for value in images)
        raise ModelFileError(f"{where}: its inputs ({shown}) are not one float32 image (N,3,H,W)", cure=_CURE)
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer):
        raise ModelFileError(
            f"{where}: it is in float16 already",
            cure="Give the float32 graph: --precision fp16 converts it, and checks it.",
        )
    outputs = _logits(model, images[0], where)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.input[:], copy.graph.output[:], copy.metadata_props[:]
    copy.graph.input.append(images[0])
    copy.graph.output.extend(outputs)
    return copy


def foreign_recipe(raw: ModelProto, recipe: Recipe | None, *, name: str, where: str) -> Recipe:
    """The recipe of a raw SimCC graph: the user's, checked against the graph, or the defaults above.

    Raises:
        ModelFileError: the graph has no fixed input size, or contradicts the recipe, or the number of its joints fits
        no
            known skeleton.
    """
    height, width, joints, bins = _sizes(raw, where)
    split_ratio = bins[0] / width
    if recipe is None:
        return _default_recipe(name, height, width, joints, split_ratio, where)
    stated = (recipe.crop.height, recipe.crop.width, len(skeleton(recipe.skeleton).joints), recipe.bins)
    if stated != (height, width, joints, bins):
        raise ModelFileError(
            f"{where}: height, width, joints and bins are {(height, width, joints, bins)}, "
            f"recipe {recipe.name} says {stated}",
            cure="Mend the recipe, or leave --recipe out.",
        )
    return replace(recipe, network=ForeignNetwork(where), family="simcc-onnx")


def _default_recipe(name: str, height: int, width: int, joints: int, split_ratio: float, where: str) -> Recipe:
    fitting = [known for known in skeleton_names() if len(skeleton(known).joints) == joints]
    if len(fitting) != 1:
        raise ModelFileError(
            f"{where}: {joints} joints fit {'several skeletons' if fitting else 'no skeleton'} of "
            f"{', '.join(skeleton_names())}",
            cure="Say which with a recipe of your own: --recipe my-model.toml.",
        )
    fields = {
        "name": name,
        "family": "simcc-onnx",
        "skeleton": fitting[0],
        "input": {"height": height, "width": width, "padding": CropRule.padding, "pixel_centres": False},
        "simcc": {"split_ratio": split_ratio, "bin_centres": False, "temperature": 0.1},
    }
    return recipe_from_json(fields, where=where)


def _is_float32(value: ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def _logits(model: ModelProto, image: ValueInfoProto, where: str) -> tuple[ValueInfoProto, ValueInfoProto]:
    by_name = {value.name: value for value in model.graph.output}
    if all(name in by_name for name in RAW_OUTPUTS):
        return by_name[RAW_OUTPUTS[0]], by_name[RAW_OUTPUTS[1]]
    _, _, height, width = shape_of(image)
    fitting = [value for value in model.graph.output if len(shape_of(value)) == 3]  # noqa: PLR2004 - (N,K,bins)
    if len(fitting) == 2 and isinstance(height, int) and isinstance(width, int) and height != width:  # noqa: PLR2004
        for x, y in (fitting, reversed(fitting)):
            bins_x, bins_y = shape_of(x)[2], shape_of(y)[2]
            if isinstance(bins_x, int) and isinstance(bins_y, int) and bins_x * height == bins_y * width:
                return x, y
    shown = ", ".join(f"{value.name} {list(shape_of(value))}" for value in model.graph.output)
    raise ModelFileError(f"{where}: its outputs ({shown}) are not the logits of a SimCC network", cure=_CURE)


def _sizes(raw: ModelProto, where: str) -> tuple[int, int, int, tuple[int, int]]:
    shapes = [shape_of(value) for value in (raw.graph.input[0], *raw.graph.output)]
    if [len(shape) for shape in shapes] == [_IMAGE_AXES, 3, 3]:
        image, x, y = shapes
        sizes = [size for size in (image[2], image[3], x[1], x[2], y[2]) if isinstance(size, int) and size > 0]
        if len(sizes) == 5 and image[1] == 3 and x[1] == y[1]:  # noqa: PLR2004 - all of them; RGB
            height, width, joints, bins_x, bins_y = sizes
            if bins_x * height == bins_y * width:
                return height, width, joints, (bins_x, bins_y)
    shown = " and ".join(str(list(shape)) for shape in shapes[1:])
    raise ModelFileError(f"{where}: input {list(shapes[0])}, outputs {shown} don't fit together", cure=_CURE)
