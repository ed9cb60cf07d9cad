"""What an artefact (ONNX or plan) says about itself: the manifest beside it and the metadata inside it."""

from amfac_edge.artefact.manifest import (
    BatchRange,
    LayerCost,
    Manifest,
    TensorSpec,
    manifest_from_metadata,
    manifest_path,
    read_manifest,
)

__all__ = [
    "BatchRange",
    "LayerCost",
    "Manifest",
    "TensorSpec",
    "manifest_from_metadata",
    "manifest_path",
    "read_manifest",
]
