"""What an artefact (ONNX or plan) says about itself: the manifest beside it and the metadata inside it."""

from amfac_edge.artefact.manifest import (
    BatchRange,
    LayerCost,
    Manifest,
    TensorSpec,
    check_digest,
    manifest_beside,
    manifest_from_metadata,
    manifest_path,
    read_manifest,
)
from amfac_edge.artefact.plan_facts import RTX, TENSORRT, PlanFacts, ProfileRange
from amfac_edge.artefact.precision import OPSETS, PRECISION, TENSORRT_8_OPSET, check_precision

__all__ = [
    "OPSETS",
    "PRECISION",
    "RTX",
    "TENSORRT",
    "TENSORRT_8_OPSET",
    "BatchRange",
    "LayerCost",
    "Manifest",
    "PlanFacts",
    "ProfileRange",
    "TensorSpec",
    "check_digest",
    "check_precision",
    "manifest_beside",
    "manifest_from_metadata",
    "manifest_path",
    "read_manifest",
]
