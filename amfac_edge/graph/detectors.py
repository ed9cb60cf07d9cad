"""Person detectors from elsewhere: an ONNX of the RTMDet or YOLOX family, cut down to one contract.

Any of them becomes `image` float32 (N,3,H,W), as the network takes it -> `boxes` float32 (N,A,4), `scores` float32
(N,A), see `artefact.detector_facts`. Non-maximum suppression and all behind it is cut off. What an ONNX can't say is
taken from the families' public configurations: the order of channels (BGR), mean and standard deviation, and which of
COCO's 80 classes is the person (the first).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from amfac_edge.artefact import BOXES_OUTPUT, IMAGES_INPUT, PERSON_SCORES_OUTPUT, RTMDET, DetectorFacts
from amfac_edge.artefact.detector_facts import STRIDES, candidates_of, outputs_of_detector
from amfac_edge.errors import InputError, ModelFileError
from amfac_edge.graph.cutting import prune, rename, with_outputs
from amfac_edge.graph.detector_heads import find_heads, not_a_detector
from amfac_edge.graph.onnx_values import opset_of, shape_of
from amfac_edge.graph.writing import GraphWriter
from amfac_edge.sessions.raw_graph import RawGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from amfac_edge.graph.detector_heads import Heads

__all__ = ["DetectorNetwork", "detector_graph", "detector_network", "normalised_images", "try_detector", "with_pixels"]

_IMAGE = "image"
_CHANNELS = 3
_SMALL_WEIGHTS = 2_000_000
_SMALL_SIDE, _USUAL_SIDE = 320, 640
_LONGEST_SIDE, _LARGEST_BATCH = 4096, 64
_PERSON_OF = {1: 0, 80: 0}
# RTMDet's mean and standard deviation of pixels, for BGR: its public configurations don't swap the channels. YOLOX
# takes pixels as they are.
_MEAN_STD = {RTMDET: ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395))}
_AS_THEY_ARE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class DetectorNetwork:
    """A detector as it came, at one size.

    Attributes:
        model: with H and W pinned, its outputs as they were.
        heads: where its boxes and scores are, before any suppression.
        facts: what it is.
        remarks: sentences for the user: what was found and assumed.
    """

    model: ModelProto
    heads: Heads
    facts: DetectorFacts
    remarks: tuple[str, ...]


def detector_network(
    model: ModelProto, *, name: str, where: str, size: tuple[int, int] | None = None
) -> DetectorNetwork:
    """Recognise a detector and find its boxes and scores.

    Args:
        model: a checked ONNX.
        name: of the model.
        where: its file, for messages.
        size: H and W for a network whose input has dynamic sides; None for 320x320 where it has fewer than two million
            weights, else 640x640. One with fixed sides keeps those.

    Raises:
        ModelFileError: it is no such detector, or one whose person class isn't known.
        InputError: a size that it can't have.
    """
    outputs = model.graph.output
    if not outputs_of_detector([value.name for value in outputs], [shape_of(value) for value in outputs]):
        raise not_a_detector(where, model.graph, "neither dets and labels, nor grids of candidates")
    (height, width), sized = _size(model, size, where)
    pinned = _pinned(model, height, width)
    heads = find_heads(pinned, where=where)
    if heads.classes not in _PERSON_OF:
        raise ModelFileError(
            f"{where}: it tells {heads.classes} classes apart, and an ONNX doesn't say which of them is the person",
            cure="Give a detector of one class, or of COCO's 80, whose first is the person.",
        )
    facts = DetectorFacts(
        name=name,
        family=heads.family,
        height=height,
        width=width,
        candidates=candidates_of(height, width),
        class_index=_PERSON_OF[heads.classes],
        class_name="person",
        classes=heads.classes,
        score_threshold=heads.score_threshold,
        iou_threshold=heads.iou_threshold,
    )
    return DetectorNetwork(pinned, heads, facts, _remarks(facts, heads, opset_of(model), sized))


def detector_graph(network: DetectorNetwork, batch: int | str = 1) -> ModelProto:
    """The core: `image` float32 (N,3,H,W) -> `boxes` (N,A,4), `scores` (N,A), and nothing that these don't need.

    Args:
        network: of `detector_network`.
        batch: N, or the name of a dynamic axis.

    Raises:
        ModelFileError: a part with a graph of its own (an If) is left over.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    graph, facts = model.graph, network.facts
    writer = GraphWriter(opset_of(model))
    nodes, boxes, scores = network.heads.decoded(writer)
    person = writer.constant("person", np.array(facts.class_index, np.int64))
    taken = writer.prefix + "person_scores"
    graph.node.extend([*nodes, writer.node("Gather", [scores, person], taken, axis=2)])
    graph.initializer.extend(writer.constants)
    image = graph.input[0].name
    del graph.output[:], graph.input[:], graph.value_info[:], model.metadata_props[:]
    prune(graph, {boxes, taken})
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise ModelFileError(
            f"{facts.name}: a part of it has a graph of its own (an If)", cure="Export it without control flow."
        )
    new = {image: _IMAGE, boxes: BOXES_OUTPUT, taken: PERSON_SCORES_OUTPUT}
    occupied = {IMAGES_INPUT, *new.values()} - set(new)
    rename(graph, {name: f"{writer.prefix}its/{name}" for name in occupied} | new)
    shapes = {
        _IMAGE: [batch, _CHANNELS, facts.height, facts.width],
        BOXES_OUTPUT: [batch, facts.candidates, 4],
        PERSON_SCORES_OUTPUT: [batch, facts.candidates],
    }
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph.input.append(values[0])
    graph.output.extend(values[1:])
    return model


def with_pixels(core: ModelProto, facts: DetectorFacts) -> ModelProto:
    """A copy of a core graph that takes `images` uint8 (N,H,W,3) BGR instead; its family says what lies between."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    graph = model.graph
    writer = GraphWriter(opset_of(model))
    mean, std = np.array(_MEAN_STD.get(facts.family, _AS_THEY_ARE))
    before = writer.planes_from_pixels(IMAGES_INPUT, graph.input[0].name, scale=1 / std, shift=-mean / std, rgb=False)
    batch = shape_of(graph.input[0])[0]
    nodes = [*before, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(writer.constants)
    shape = [batch, facts.height, facts.width, _CHANNELS]
    graph.input.append(helper.make_tensor_value_info(IMAGES_INPUT, TensorProto.UINT8, shape))
    return model


def normalised_images(images: NDArray[np.uint8], facts: DetectorFacts) -> NDArray[np.float32]:
    """Letterboxed pictures (N,H,W,3) uint8 BGR -> (N,3,H,W) float32 as the family takes them; float64 rounded once."""
    mean, std = _MEAN_STD.get(facts.family, _AS_THEY_ARE)
    planes = ((images.astype(np.float64) - mean) / std).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(planes, np.float32)


def try_detector(model: ModelProto, *, where: str, size: list[int] | None) -> None:
    """Do what an export does with a detector, on one picture of noise: a trial for `checked_model`.

    Args:
        model: as of `detector_network`.
        where: its file.
        size: H and W, likewise.

    Raises:
        AmfacError: as `detector_network`, `detector_graph`; or it can't be run.
    """
    network = detector_network(model, name="x", where=where, size=(size[0], size[1]) if size else None)
    facts = network.facts
    noise = np.random.default_rng(0).integers(0, 256, (1, facts.height, facts.width, _CHANNELS), np.uint8)
    image = network.model.graph.input[0]
    batch = shape_of(image)[0]
    planes = normalised_images(noise, facts).repeat(batch if isinstance(batch, int) else 1, axis=0)
    with_outputs(network.model, [value.name for value in model.graph.output], where=where).run({image.name: planes})
    whole = with_pixels(detector_graph(network, batch), facts)
    RawGraph(whole.SerializeToString(), name=where).run({IMAGES_INPUT: noise.repeat(len(planes), axis=0)})


def _size(model: ModelProto, stated: tuple[int, int] | None, where: str) -> tuple[tuple[int, int], str]:
    """H and W of the network's input, and how they were found."""
    initialisers = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in initialisers]
    shape = shape_of(images[0]) if images else ()
    if len(images) != 1 or len(shape) != 4 or shape[1] != _CHANNELS:  # noqa: PLR2004 - (N,3,H,W)
        shown = ", ".join(f"{value.name} {list(shape_of(value))}" for value in images)
        raise ModelFileError(
            f"{where}: its inputs ({shown}) are not one image (N,3,H,W)", cure="Give a detector of one picture input."
        )
    if isinstance(shape[0], int) and not 1 <= shape[0] <= _LARGEST_BATCH:
        raise ModelFileError(
            f"{where}: its batch is fixed at {shape[0]:,}", cure="Export it with a batch of 1, or a dynamic one."
        )
    sides = shape[2:]
    if all(isinstance(side, int) for side in sides):
        height, width = (int(side) for side in sides)
        if stated not in (None, (height, width)):
            raise InputError(f"{where}: its input is fixed at {height}x{width}", cure="Leave --size out.")
        found = "fixed by the file"
    elif stated is not None:
        (height, width), found = stated, "as given"
    else:
        weights = sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
        height = width = _SMALL_SIDE if weights < _SMALL_WEIGHTS else _USUAL_SIDE
        found = f"assumed for {weights / 1e6:.1f} M weights, since the file leaves it open; --size HxW says otherwise"
    step = STRIDES[-1]
    if height % step or width % step or not (step <= height <= _LONGEST_SIDE and step <= width <= _LONGEST_SIDE):
        raise InputError(
            f"{where}: an input of {height}x{width} is not of multiples of {step} up to {_LONGEST_SIDE:,}",
            cure="Give --size 640x640, say.",
        )
    return (height, width), found


def _pinned(model: ModelProto, height: int, width: int) -> ModelProto:
    """A copy whose input has fixed sides; its batch axis stays as it is."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    initialisers = {tensor.name for tensor in graph.initializer}
    (image,) = (value for value in model.graph.input if value.name not in initialisers)
    del graph.input[:], graph.value_info[:]
    graph.input.append(image)
    for axis, side in zip(graph.input[0].type.tensor_type.shape.dim[2:], (height, width), strict=True):
        axis.dim_value = side
    return copy


def _remarks(facts: DetectorFacts, heads: Heads, opset: int, sized: str) -> tuple[str, ...]:
    kinds = (
        "person alone" if facts.classes == 1 else f"class {facts.class_index} of {facts.classes} taken as the person"
    )
    normalised = "with RTMDet's mean and std" if facts.family == RTMDET else "0..255 as they are"
    return (
        f"a person detector, {facts.family}: {heads.form}; {facts.candidates} candidates, {kinds}, opset {opset}",
        f"input {facts.height}x{facts.width}, {sized}",
        f"assumed, since an ONNX doesn't say it: BGR pixels {normalised}",
    )
