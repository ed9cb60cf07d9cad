"""The last stage of an export: a graph and its manifest, written as a pair."""

from __future__ import annotations

import dataclasses
import platform
from importlib import metadata
from typing import TYPE_CHECKING

import onnx

from amfac_edge.artefact import TensorSpec, manifest_path
from amfac_edge.files import atomic_files, sha256_of
from amfac_edge.graph.onnx_values import DTYPES, shape_of

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, ValueInfoProto

    from amfac_edge.artefact import Manifest

__all__ = ["finished_artefact", "tensor_spec", "tool_versions", "version_of", "write_artefact"]

_TOOLS = ("amfac-edge", "torch", "onnx", "onnxscript", "onnxsim", "onnxruntime", "numpy")


def write_artefact(model: ModelProto, path: Path, manifest: Manifest) -> Manifest:
    """Write `model` with its facts inside, and its manifest beside it.

    Args:
        model: the graph; its name, producer and metadata are set here.
        path: of the artefact.
        manifest: all but the digest of the artefact itself.

    Returns:
        The manifest with that digest.

    Raises:
        OutputError: the place can't be written to.
    """
    content, whole = finished_artefact(model, manifest)
    # The manifest first: a crash between the two renames leaves a digest that doesn't match, never a lone artefact.
    with atomic_files(manifest_path(path), path) as (manifest_part, part):
        part.write_bytes(content)
        manifest_part.write_bytes(whole.as_bytes())
    return whole


def finished_artefact(model: ModelProto, manifest: Manifest) -> tuple[bytes, Manifest]:
    """The content of an artefact's file and its manifest, as `write_artefact` writes them."""
    model.graph.name = f"amfac {manifest.name}"
    model.producer_name, model.producer_version = "amfac-edge", manifest.versions["amfac-edge"]
    onnx.helper.set_model_props(model, manifest.metadata())
    content = model.SerializeToString(deterministic=True)
    return content, dataclasses.replace(manifest, digests={**manifest.digests, "artefact": sha256_of(content)})


def tensor_spec(value: ValueInfoProto) -> TensorSpec:
    """An input or output of a graph as the manifest has it."""
    return TensorSpec(value.name, DTYPES[value.type.tensor_type.elem_type], shape_of(value))


def tool_versions() -> dict[str, str]:
    """Of Python and of the packages that make an artefact."""
    return {"python": platform.python_version()} | {name: version_of(name) for name in _TOOLS}


def version_of(package: str) -> str:
    """Of an installed package, "not installed" without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
