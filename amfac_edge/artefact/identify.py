"""What a file is, by its content: one of ours, something that can be made into one, or something else.

Nothing in the file is run, and nothing but NumPy and the standard library is needed.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact.detector_facts import outputs_of_detector
from amfac_edge.artefact.manifest_reading import (
    manifest_from_json,
    manifest_from_metadata,
    manifest_path,
    read_manifest,
)
from amfac_edge.artefact.onnx_header import OnnxHeader, read_onnx_header
from amfac_edge.artefact.plan_facts import TENSORRT
from amfac_edge.artefact.plan_header import PLAN_MAGIC, RTX_MAGIC, is_safetensors, read_plan_header
from amfac_edge.errors import AmfacError, InputError, ModelFileError
from amfac_edge.files import json_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amfac_edge.artefact.manifest import Manifest

__all__ = ["CHECKPOINT_SUFFIXES", "FileFacts", "identify"]

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
"""What names of checkpoints end in."""

_HEAD_BYTES = 64
_ARTEFACTS = {
    "raw": "the raw-logits twin of an artefact",
    "frame": "an artefact of amfac-export that takes whole frames",
    "images": "an artefact of amfac-export: a person detector",
}
_JSON_LIMIT = 64 << 20
_SAFETENSORS_LIMIT = 16 << 20
# What the header of TensorRT proper doesn't say in any place that is known.
_UNTOLD = {
    "tensorrt": "unknown: only the manifest says it",
    "compute_capabilities": "unknown: only the manifest says it",
}


@dataclass(frozen=True)
class FileFacts:
    """What a file is.

    Attributes:
        kind: for programs: "onnx-artefact", "onnx", "tensorrt-plan", "tensorrt-rtx-plan", "ultralytics-engine",
            "pytorch-checkpoint", "torchscript", "safetensors", "manifest", "json" or "unknown".
        title: for people, as a sentence without its full stop.
        facts: what the file says of itself, as JSON.
        manifest: of an artefact that has one, beside it or inside.
    """

    kind: str
    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None


def identify(path: Path) -> FileFacts:
    """Say what a file is.

    Raises:
        InputError: there is no such file, it can't be read, or it is a pipe or a device.
    """
    try:
        # To open a pipe is to wait for whoever writes into it.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: is a pipe or a device", cure="Give the path of a file.")
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"{path}: can't be read: {error.strerror or error}", cure="Give the path of an existing file."
        ) from error
    if not head:
        return FileFacts("unknown", "an empty file")
    for magic, reader in _BY_MAGIC.items():
        if head.startswith(magic):
            return reader(path, head, size)
    for guess in (_prefixed_engine, _safetensors, _json, _onnx):
        facts = guess(path, head, size)
        if facts is not None:
            return facts
    return FileFacts("unknown", f"nothing that is known here: it starts with the bytes {head[:8].hex(' ')}")


def _plan(path: Path, head: bytes, size: int) -> FileFacts:
    header = read_plan_header(path)
    manifest, beside = _beside(path)
    facts: dict[str, Any] = {"bytes": size, "magic": head[:4].decode()}
    if header.engine_name is not None:
        facts["engine_name"] = header.engine_name
    if header.flavour == TENSORRT:
        return FileFacts("tensorrt-plan", header.title, facts | _UNTOLD | beside, manifest)
    told = {
        "tensorrt_rtx": header.version or "unknown",
        "compute_capabilities": [*header.compute_capabilities, *["unknown"] * header.unknown_capabilities],
        "whole": header.fault is None,
    }
    return FileFacts("tensorrt-rtx-plan", header.title, facts | told | beside, manifest)


def _gzip(path: Path, _: bytes, size: int) -> FileFacts:
    return FileFacts("unknown", read_plan_header(path).title, {"bytes": size})


def _zip(path: Path, _head: bytes, size: int) -> FileFacts:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return FileFacts("unknown", f"a zip archive, or a PyTorch checkpoint, that is cut short or damaged ({error})")
    if not any(name.endswith("data.pkl") for name in names):
        return FileFacts("unknown", f"a zip archive of {len(names)} files, none of them a checkpoint's")
    program = any("/code/" in name for name in names)
    title = "a TorchScript program (its code isn't run here)" if program else "a PyTorch checkpoint"
    kind = "torchscript" if program else "pytorch-checkpoint"
    return FileFacts(kind, title, {"bytes": size, "entries": len(names)})


def _pickle(_path: Path, _head: bytes, size: int) -> FileFacts:
    return FileFacts("pytorch-checkpoint", "a pickle, as PyTorch before 1.6 wrote checkpoints", {"bytes": size})


def _prefixed_engine(path: Path, _head: bytes, size: int) -> FileFacts | None:
    header = read_plan_header(path)
    if header.kind != "ultralytics":
        return None
    facts: dict[str, Any] = {"bytes": size, "plan_offset": header.plan_offset}
    if header.foreign:
        facts["header"] = dict(header.foreign)
    return FileFacts("ultralytics-engine", header.title, facts)


def _safetensors(path: Path, head: bytes, size: int) -> FileFacts | None:
    length = int.from_bytes(head[:8], "little")
    if not is_safetensors(head, size):
        return None
    if length > _SAFETENSORS_LIMIT:
        return FileFacts("unknown", f"perhaps safetensors, with a header of {length:,} bytes that is not read")
    with path.open("rb") as stream:
        header = _json_object(stream.read(8 + length)[8:])
    if header is None:
        return None
    metadata = header.pop("__metadata__", {})
    facts = {"bytes": size, "tensors": len(header), "metadata": metadata}
    return FileFacts("safetensors", "a safetensors checkpoint", facts)


def _json(path: Path, head: bytes, size: int) -> FileFacts | None:
    if head.lstrip()[:1] not in {b"{", b"["} or size > _JSON_LIMIT:
        return None
    data = _json_object(path.read_bytes())
    if data is None:
        return FileFacts("json", "JSON, not an object of ours") if head.lstrip()[:1] == b"[" else None
    schema = data.get("schema")
    if isinstance(schema, str) and schema.startswith("amfac-manifest/"):
        manifest = manifest_from_json(data, where=str(path))
        artefact = path.with_name(path.name.removesuffix(".json"))
        return FileFacts(
            "manifest", f"the manifest of {artefact.name}", {"artefact_there": artefact.is_file()}, manifest
        )
    shown = f' of schema "{schema[:60]}"' if isinstance(schema, str) else ""
    return FileFacts("json", f"JSON{shown}", {"bytes": size, "keys": list(data)[:20]})


def _onnx(path: Path, _head: bytes, size: int) -> FileFacts | None:
    try:
        header = read_onnx_header(path)
    except ModelFileError:
        if path.suffix == ".onnx":
            raise
        return None
    facts = {"bytes": size} | _onnx_facts(header)
    manifest, more = _beside(path)
    if manifest is None:
        manifest = manifest_from_metadata(header.metadata, where=str(path))
    if manifest is not None:
        title = _ARTEFACTS.get(manifest.input_kind, "an artefact of amfac-export")
        return FileFacts("onnx-artefact", title, facts | more, manifest)
    return FileFacts("onnx", f"an ONNX file{_kind(header)}, not an artefact of amfac-export", facts | more)


def _kind(header: OnnxHeader) -> str:
    """What a foreign ONNX gives, as far as its outputs tell."""
    names = [tensor.name for tensor in header.outputs]
    if {"simcc_x", "simcc_y"} <= set(names):
        return " with SimCC outputs"
    is_detector = outputs_of_detector(names, [tensor.shape for tensor in header.outputs])
    return " with the outputs of a detector" if is_detector else ""


def _onnx_facts(header: OnnxHeader) -> dict[str, Any]:
    return {
        "ir_version": header.ir_version,
        "opsets": {domain or "ai.onnx": version for domain, version in header.opsets.items()},
        "producer": header.producer,
        "nodes": header.nodes,
        "inputs": {tensor.name: f"{tensor.dtype} {list(tensor.shape)}" for tensor in header.inputs},
        "outputs": {tensor.name: f"{tensor.dtype} {list(tensor.shape)}" for tensor in header.outputs},
    }


def _beside(path: Path) -> tuple[Manifest | None, dict[str, Any]]:
    """The manifest beside an artefact, and what is to be said about it: a fault of it must not hide the rest."""
    beside = manifest_path(path)
    if not beside.exists():
        return None, {"manifest": None}
    try:
        return read_manifest(path), {"manifest": beside.name}
    except AmfacError as error:
        return None, {"manifest": beside.name, "manifest_fault": error.problem}


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        data = json_value(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


_BY_MAGIC: dict[bytes, Callable[[Path, bytes, int], FileFacts]] = {
    PLAN_MAGIC: _plan,
    RTX_MAGIC: _plan,
    b"PK\x03\x04": _zip,
    b"\x1f\x8b": _gzip,
    **{b"\x80" + bytes([protocol]): _pickle for protocol in range(2, 6)},
}
