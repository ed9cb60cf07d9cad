"""`config.pbtxt` of a Triton model, from a manifest's facts.

Triton counts the first axis of a model with `max_batch_size` above 0 itself, so it is left out of its `dims`. A fixed
batch, and a graph whose tensors don't all have that axis, are models without batching, whose `dims` are whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact import TensorSpec
from amfac_edge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from amfac_edge.artefact import BatchRange, Manifest

__all__ = [
    "ONNX", "PLAN", "PYTHON", "Step", "batch_axis_is_tritons", "checked_name", "engine_config", "ensemble_config",
    "python_config",
]  # fmt: skip

PLAN, ONNX, PYTHON = "tensorrt_plan", "onnxruntime_onnx", "python"
_TYPES = {
    "uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "int64": "TYPE_INT64", "float16": "TYPE_FP16",
    "float32": "TYPE_FP32", "float64": "TYPE_FP64",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# A client that waits for company waits no longer than this.
_QUEUE_US = 500


def checked_name(name: str) -> str:
    """The name, if it can be a model's: it is a folder's name, part of addresses and a string in a configuration.

    Raises:
        InputError: it has other characters than letters, digits, dots, dashes and underscores, or too many.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:60]!r} can't be the name of a Triton model",
            cure="Rename the input: letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    return name


@dataclass(frozen=True)
class Step:
    """One step of an ensemble: a model, and which of the ensemble's tensors each of its own tensors is."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def batch_axis_is_tritons(manifest: Manifest) -> bool:
    """Whether Triton may put requests together: every tensor begins with an axis whose size is open."""
    tensors = (*manifest.inputs, *manifest.outputs)
    first = {tensor.shape[0] if tensor.shape else None for tensor in tensors}
    return not manifest.batch.is_fixed and len(first) == 1 and isinstance(first.pop(), str)


def engine_config(name: str, manifest: Manifest, platform: str) -> str:
    """Of the engine itself, on a GPU ("tensorrt_plan") or a CPU ("onnxruntime_onnx")."""
    batching = batch_axis_is_tritons(manifest)
    lines = [
        *_head(name, f"platform: {_quoted(platform)}", manifest.batch.maximum if batching else 0),
        *_tensors("input", manifest.inputs, drop_batch=batching),
        *_tensors("output", manifest.outputs, drop_batch=batching),
        "instance_group [",
        f"  {{ count: 1, kind: {'KIND_GPU' if platform == PLAN else 'KIND_CPU'} }}",
        "]",
    ]
    if batching and manifest.batch.minimum == 1:
        lines += [
            "dynamic_batching {",
            f"  preferred_batch_size: [ {manifest.batch.optimum} ]",
            f"  max_queue_delay_microseconds: {_QUEUE_US}",
            "}",
        ]
    lines += _warmup(_warmup_batches(manifest.batch) if batching else [1], _warm_inputs(manifest, drop_batch=batching))
    return "\n".join(lines) + "\n"


def python_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    parameters: Mapping[str, str] | None = None,
    warm_files: Mapping[str, Sequence[int]] | None = None,
    warm_zeros: Mapping[str, Sequence[int]] | None = None,
) -> str:
    """Of a model of the python backend, on the CPU, without batching.

    Args:
        name: of the model.
        inputs: tensors in.
        outputs: tensors out.
        parameters: that its code reads.
        warm_files: inputs of the warm-up that lie in the folder `warmup` under their own names, with their shapes.
        warm_zeros: inputs of the warm-up that are all 0, with their shapes.
    """
    lines = [*_head(name, f"backend: {_quoted(PYTHON)}", 0), *_tensors("input", inputs), *_tensors("output", outputs)]
    lines += ["instance_group [", "  { count: 1, kind: KIND_CPU }", "]"]
    for key, value in (parameters or {}).items():
        lines.append(f"parameters {{ key: {_quoted(key)}, value: {{ string_value: {_quoted(value)} }} }}")
    shapes = {**(warm_files or {}), **(warm_zeros or {})}
    warm = [
        (TensorSpec(tensor.name, tensor.dtype, tuple(shapes[tensor.name])), tensor.name in (warm_files or {}))
        for tensor in inputs
        if tensor.name in shapes
    ]
    return "\n".join([*lines, *_warmup([1], warm)]) + "\n"


def ensemble_config(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], steps: Sequence[Step]
) -> str:
    """Of models that run one behind the other."""
    lines = [*_head(name, f"platform: {_quoted('ensemble')}", 0), *_tensors("input", inputs)]
    lines += [*_tensors("output", outputs), "ensemble_scheduling {", "  step ["]
    blocks = []
    for step in steps:
        block = ["    {", f"      model_name: {_quoted(step.model)}", "      model_version: -1"]
        for kind, names in (("input_map", step.inputs), ("output_map", step.outputs)):
            block += [
                f"      {kind} {{ key: {_quoted(key)}, value: {_quoted(value)} }}" for key, value in names.items()
            ]
        blocks.append("\n".join([*block, "    }"]))
    return "\n".join([*lines, ",\n".join(blocks), "  ]", "}"]) + "\n"


def _head(name: str, kind: str, max_batch_size: int) -> list[str]:
    return [f"name: {_quoted(checked_name(name))}", kind, f"max_batch_size: {max_batch_size}"]


def _tensors(kind: str, tensors: Sequence[TensorSpec], *, drop_batch: bool = False) -> Iterator[str]:
    yield f"{kind} ["
    rows = [
        f"  {{ name: {_quoted(tensor.name)}, data_type: {_type(tensor)}, dims: {_dims(tensor.shape[drop_batch:])} }}"
        for tensor in tensors
    ]
    yield ",\n".join(rows)
    yield "]"


def _warm_inputs(manifest: Manifest, *, drop_batch: bool) -> list[tuple[TensorSpec, bool]]:
    """The inputs with a size for every axis: those of a frame are the crop's own, any other is the smallest batch."""
    warm = []
    for tensor in manifest.inputs:
        open_sizes = iter(range(3))
        shape = tuple(
            size if isinstance(size, int) else (_WARM_FRAME[next(open_sizes)] if tensor.name == "frame" else 1)
            for size in tensor.shape[drop_batch:]
        )
        warm.append((TensorSpec(tensor.name, tensor.dtype, shape), False))
    return warm


_WARM_FRAME = (480, 640, 3)


def _warmup_batches(batch: BatchRange) -> list[int]:
    return sorted({batch.minimum, batch.optimum, batch.maximum})


def _warmup(batches: Sequence[int], inputs: Sequence[tuple[TensorSpec, bool]]) -> Iterator[str]:
    """A sample for each batch: zeros, or the content of a file where the flag beside the tensor says so."""
    if not inputs:
        return
    yield "model_warmup ["
    samples = []
    for batch in batches:
        rows = [f'  {{ name: "batch {batch}", batch_size: {batch},']
        for tensor, from_file in inputs:
            data = f"input_data_file: {_quoted(tensor.name)}" if from_file else "zero_data: true"
            value = f"{{ data_type: {_type(tensor)}, dims: {_dims(tensor.shape)}, {data} }}"
            rows.append(f"    inputs {{ key: {_quoted(tensor.name)}, value: {value} }}")
        samples.append("\n".join(rows) + "\n  }")
    yield ",\n".join(samples)
    yield "]"


def _type(tensor: TensorSpec) -> str:
    kind = _TYPES.get(tensor.dtype)
    if kind is None:
        raise InputError(
            f"{tensor.name}: Triton has no {tensor.dtype[:40]} that this version writes",
            cure=f"Known are {', '.join(sorted(_TYPES))}.",
        )
    return kind


def _dims(shape: Sequence[int | str]) -> str:
    return "[ " + ", ".join("-1" if isinstance(size, str) else str(size) for size in shape) + " ]"


def _quoted(text: str) -> str:
    """As a string of a text-format message: nothing in it ends the string."""
    shown = "".join(_ESCAPED.get(each, each if each.isprintable() else f"\\U{ord(each):08x}") for each in text)
    return f'"{shown}"'
