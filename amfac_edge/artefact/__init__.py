"""What an artefact (ONNX or plan) says about itself: the manifest beside it and the metadata inside it."""

from amfac_edge.artefact.examining import Examined, examine
from amfac_edge.artefact.manifest import (
    BatchRange,
    LayerCost,
    Manifest,
    TensorSpec,
    check_digest,
    manifest_beside,
    manifest_from_metadata,
    manifest_path,
    read_artefact,
    read_manifest,
)
from amfac_edge.artefact.plan_facts import RTX, TENSORRT, PlanFacts, ProfileRange
from amfac_edge.artefact.plan_header import PlanHeader, plan_header_of, read_plan_header
from amfac_edge.artefact.precision import OPSETS, PRECISION, TENSORRT_8_OPSET, check_precision
from amfac_edge.artefact.preflight import preflight
from amfac_edge.artefact.verdict import ONNXRUNTIME, Check, Host, HostGpu, Outcome, Verdict

__all__ = [
    "ONNXRUNTIME",
    "OPSETS",
    "PRECISION",
    "RTX",
    "TENSORRT",
    "TENSORRT_8_OPSET",
    "BatchRange",
    "Check",
    "Examined",
    "Host",
    "HostGpu",
    "LayerCost",
    "Manifest",
    "Outcome",
    "PlanFacts",
    "PlanHeader",
    "ProfileRange",
    "TensorSpec",
    "Verdict",
    "check_digest",
    "check_precision",
    "examine",
    "manifest_beside",
    "manifest_from_metadata",
    "manifest_path",
    "plan_header_of",
    "preflight",
    "read_artefact",
    "read_manifest",
    "read_plan_header",
]
