"""torch -> ONNX: the core graph `image` -> `simcc_x`, `simcc_y`, with the opset that was asked for."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import onnx
import torch

from amfac_edge.artefact import OPSETS, TENSORRT_8_OPSET
from amfac_edge.errors import ModelFileError
from amfac_edge.graph.onnx_values import opset_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto
    from torch import nn

    from amfac_edge.artefact import BatchRange
    from amfac_edge.declared.recipe import Recipe

__all__ = ["IR_VERSION", "RAW_INPUT", "RAW_OUTPUTS", "onnx_from_network"]

IR_VERSION = 10
RAW_INPUT = "image"
RAW_OUTPUTS = ("simcc_x", "simcc_y")


def onnx_from_network(network: nn.Module, recipe: Recipe, *, batch: BatchRange, opset: int = OPSETS[0]) -> ModelProto:
    """Export `network` as the raw graph.

    `image` float32 (N,3,H,W) normalised RGB -> `simcc_x` (N,K,W·k), `simcc_y` (N,K,H·k).

    Args:
        network: in eval mode; its forward takes (N,3,H,W) and returns the two logits.
        recipe: for the crop's size.
        batch: a fixed one gives a fixed first axis, another a dynamic axis named N.
        opset: 19 (dynamo exporter) or 17 (the older exporter, the only way to it; for TensorRT 8.6).

    Raises:
        ModelFileError: the exporter wrote another opset than was asked for.
    """
    example = torch.zeros(batch.optimum if batch.is_fixed else 2, 3, recipe.crop.height, recipe.crop.width)
    with _quiet():
        if opset == TENSORRT_8_OPSET:
            model = _legacy_export(network, example, batch)
        else:
            model = _dynamo_export(network, example, batch, opset)
    found = opset_of(model)
    if found != opset:
        # The exporter falls back to another opset with a log line only.
        raise ModelFileError(
            f"the exporter wrote opset {found} where {opset} was asked for",
            cure=f"Use one of the opsets {', '.join(map(str, OPSETS))} with the pinned torch and onnxscript.",
        )
    model.ir_version = IR_VERSION
    return model


def _dynamo_export(network: nn.Module, example: torch.Tensor, batch: BatchRange, opset: int) -> ModelProto:
    shapes = None if batch.is_fixed else ({0: torch.export.Dim("N", min=1, max=1024)},)
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=[RAW_INPUT],
        output_names=list(RAW_OUTPUTS),
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _legacy_export(network: nn.Module, example: torch.Tensor, batch: BatchRange) -> ModelProto:
    buffer: Any = io.BytesIO()  # torch takes one, but its annotation forgets it
    names = [RAW_INPUT, *RAW_OUTPUTS]
    torch.onnx.export(
        network,
        (example,),
        buffer,
        dynamo=False,
        opset_version=TENSORRT_8_OPSET,
        input_names=[RAW_INPUT],
        output_names=list(RAW_OUTPUTS),
        dynamic_axes=None if batch.is_fixed else {name: {0: "N"} for name in names},
    )
    return onnx.load_from_string(buffer.getvalue())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own internals (a pytree class, torchvision's absence), which concern no user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
