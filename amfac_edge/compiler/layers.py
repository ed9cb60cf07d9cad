"""In which types a plan's layers compute, by TensorRT's own inspector: what was asked for may not be what was built.

The text comes from a plan that was deserialised on its GPU, built with detailed profiling. Its form differs between
releases: one name for a tensor's type up to 10 ("Half", or "... FP16 format"), another from 11 on; what none of the
rules knows is left out of the summary.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from amfac_edge.compiler.bindings import load_bindings
from amfac_edge.errors import ModelFileError
from amfac_edge.sessions.tensorrt_library import keeping_logger
from amfac_edge.sessions.tensorrt_messages import error_from_log

__all__ = ["inspect_in_child", "layer_precision", "layers_path", "silent_float32"]

_TYPES = (
    (re.compile(r"\b(half|fp16|float16)\b", re.IGNORECASE), "float16"),
    (re.compile(r"\b(bf16|bfloat16)\b", re.IGNORECASE), "bfloat16"),
    (re.compile(r"\bint8\b", re.IGNORECASE), "int8"),
    (re.compile(r"\b(fp8|float8)\b", re.IGNORECASE), "float8"),
    (re.compile(r"\b(float|fp32|float32)\b", re.IGNORECASE), "float32"),
)
# From the words of layers ("CaskConvolution", "caskConvolutionV2", "gemm", "fc") to a kind.
_KINDS = (
    (re.compile("deconv", re.IGNORECASE), "deconvolution"),
    (re.compile("conv", re.IGNORECASE), "convolution"),
    (re.compile("gemm|matrixmultiply|matmul|^fc$|fullyconnected", re.IGNORECASE), "matrix_multiply"),
    (re.compile("pool", re.IGNORECASE), "pooling"),
    (re.compile("softmax", re.IGNORECASE), "softmax"),
    (re.compile("reduce", re.IGNORECASE), "reduce"),
    (re.compile("pointwise|elementwise|kgen|myelin|fusion", re.IGNORECASE), "fused"),
)


def layers_path(plan: str | Path) -> Path:
    """Where the layers of a plan are written: the same name with .layers.json behind it."""
    return Path(f"{plan}.layers.json")


def inspect_in_child(plan: str, out: str, flavour: str, *, host_code: bool) -> int:
    """Deserialise the plan at path `plan` and write what the inspector says to path `out`; for `call_in_child`.

    Args:
        plan: path of a plan that was built just now: nobody else's is deserialised here.
        out: path of the JSON to write.
        flavour: "tensorrt".
        host_code: it is version-compatible, so that its lean runtime must be allowed to run.

    Returns:
        How many layers it has.

    Raises:
        AmfacError: it can't be deserialised here, or the inspector says nothing.
    """
    trt = load_bindings(flavour)
    log: list[str] = []
    runtime = trt.Runtime(keeping_logger(trt, log))
    runtime.engine_host_code_allowed = host_code
    engine = runtime.deserialize_cuda_engine(Path(plan).read_bytes())
    if engine is None:
        raise error_from_log(log, where=Path(plan).name)
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = _layers(json.loads(text))
    except (ValueError, RecursionError):
        layers = []
    if not layers:
        raise ModelFileError(
            f"{Path(plan).name}: TensorRT's inspector tells nothing of its layers", cure="Nothing to do."
        )
    Path(out).write_text(text)
    return len(layers)


def layer_precision(information: object) -> dict[str, str]:
    """The element type by kind of layer ("convolution": "float16"); "float16 (12), float32 (3)" where they differ.

    Args:
        information: the inspector's JSON, decoded.
    """
    counts: dict[str, Counter[str]] = {}
    for layer in _layers(information):
        kind, found = _kind(layer), _type(layer)
        if kind is not None and found is not None:
            counts.setdefault(kind, Counter())[found] += 1
    return {kind: _together(counts[kind]) for kind in sorted(counts)}


def silent_float32(precision: dict[str, str], *, asked_half: bool) -> str | None:
    """A loud sentence where half precision was asked for and no convolution has it; None otherwise.

    Args:
        precision: of `layer_precision`.
        asked_half: whether the artefact computes in float16.
    """
    heavy = {kind: precision[kind] for kind in ("convolution", "matrix_multiply") if kind in precision}
    main = heavy.get("convolution", "") or heavy.get("matrix_multiply", "")
    if not asked_half or not main or any(narrow in main for narrow in ("float16", "int8", "float8")):
        return None
    return (
        f"WARNING: half precision was asked for and this plan computes in {main}: TensorRT fell back silently, and it "
        "is no faster than an FP32 plan. Build it with a newer TensorRT, or look at its .layers.json"
    )


def _layers(information: object) -> list[dict[str, Any]]:
    layers = information.get("Layers") if isinstance(information, dict) else None
    return [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []


def _kind(layer: dict[str, Any]) -> str | None:
    for word in (str(layer.get("ParameterType", "")), str(layer.get("LayerType", ""))):
        for pattern, kind in _KINDS:
            if pattern.search(word):
                return kind
    return None


def _type(layer: dict[str, Any]) -> str | None:
    """By the weights, which are in the type that the kernel computes in; else by the first input."""
    weights = layer.get("Weights")
    words = [str(weights.get("Type", ""))] if isinstance(weights, dict) else []
    for tensor in (layer.get("Inputs") or [])[:1] if isinstance(layer.get("Inputs"), list) else []:
        if isinstance(tensor, dict):
            words += [str(tensor.get(key, "")) for key in ("Format/Datatype", "DataType", "Datatype", "Format")]
    for word in words:
        for pattern, name in _TYPES:
            if pattern.search(word):
                return name
    return None


def _together(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(
        f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
