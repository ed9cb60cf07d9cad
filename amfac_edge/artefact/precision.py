"""Which precisions and opsets this version can write; asked before any work is spent, and before torch is loaded."""

from __future__ import annotations

from amfac_edge.errors import InputError

__all__ = ["OPSETS", "PRECISION", "TENSORRT_8_OPSET", "check_precision"]

PRECISION = "fp32"
# TensorRT 10 and later read opset 19; 8.6 reads 17 at most. Not 20: its GridSample is read wrongly by older parsers.
TENSORRT_8_OPSET = 17
OPSETS = (19, TENSORRT_8_OPSET)
_CURES = {
    "fp16": "TensorRT 8.6 to 10.x builds FP16 from the FP32 graph: trtexec --onnx=FILE --fp16 --saveEngine=FILE.plan",
}


def check_precision(precision: str | None) -> None:
    """Refuse a precision that this version can't write.

    Raises:
        InputError: another one than "fp32" (or None, which means it).
    """
    if precision not in (None, PRECISION):
        raise InputError(
            f"precision {precision} is not in this version, which writes FP32 graphs",
            cure=_CURES.get(str(precision), "Give --precision fp32, or leave it out."),
        )
