"""Which precisions and opsets this version can write; asked before any work is spent, and before torch is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from amfac_edge.declared.target import Target

__all__ = ["FP16", "FP32", "INT8", "OPSETS", "TENSORRT_8_OPSET", "chosen_precision", "takes_both_forms"]

FP32, FP16, INT8 = "fp32", "fp16", "int8"
# TensorRT 10 and later read opset 19; 8.6 reads 17 at most. Not 20: its GridSample is read wrongly by older parsers.
TENSORRT_8_OPSET = 17
OPSETS = (19, TENSORRT_8_OPSET)


def chosen_precision(asked: str | None, target: Target) -> str:
    """The precision of an artefact for `target`: what was asked for, or the target's own.

    Raises:
        InputError: one that this version can't write, or that gives nothing on this target.
    """
    precision = asked or target.default_precision
    if precision not in (FP32, FP16, INT8):
        raise InputError(
            f"precision {precision} is not in this version, which writes FP32, FP16 and INT8 graphs",
            cure="Give --precision fp16, fp32 or int8, or leave it out.",
        )
    if precision == FP16 and target.kind == "cpu":
        raise InputError(
            f"{target.name}: ONNX Runtime computes float16 in float32 on a CPU, so FP16 gains nothing there",
            cure="Leave --precision out: each target then has its own.",
        )
    return precision


def takes_both_forms(version: str) -> bool:
    """Whether a TensorRT of `version` has both strong typing and the older flag for FP16, and the former is young.

    NVIDIA's notes on moving to strong typing say to upgrade from 10.11 and earlier first.
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return (10, 0) <= tuple(numbers) < (10, 12)
