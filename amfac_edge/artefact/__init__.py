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
from amfac_edge.artefact.precision import OPSETS, PRECISION, TENSORRT_8_OPSET, check_precision

__all__ = [
    "OPSETS",
    "PRECISION",
    "TENSORRT_8_OPSET",
    "BatchRange",
    "LayerCost",
    "Manifest",
    "TensorSpec",
    "check_precision",
    "manifest_from_metadata",
    "manifest_path",
    "read_manifest",
]
