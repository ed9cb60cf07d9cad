"""What an artefact (ONNX or plan) says about itself: the manifest beside it and the metadata inside it."""

from amfac_edge.artefact.detector_facts import (
    BOXES_OUTPUT,
    IMAGES_INPUT,
    PERSON_SCORES_OUTPUT,
    RTMDET,
    YOLOX,
    DetectorFacts,
    not_a_person_detector,
    not_a_pose_network,
)
from amfac_edge.artefact.examining import Examined, examine
from amfac_edge.artefact.manifest import BatchRange, LayerCost, Manifest, TensorSpec
from amfac_edge.artefact.manifest_reading import (
    check_digest,
    manifest_beside,
    manifest_from_json,
    manifest_from_metadata,
    manifest_path,
    read_artefact,
    read_manifest,
)
from amfac_edge.artefact.plan_facts import RTX, TENSORRT, PlanFacts, ProfileRange
from amfac_edge.artefact.plan_header import PlanHeader, plan_header_of, read_plan_header
from amfac_edge.artefact.precision import FP16, FP32, INT8, OPSETS, TENSORRT_8_OPSET, chosen_precision, takes_both_forms
from amfac_edge.artefact.preflight import preflight
from amfac_edge.artefact.verdict import ONNXRUNTIME, Check, Host, HostGpu, Outcome, Verdict

__all__ = [
    "BOXES_OUTPUT",
    "FP16",
    "FP32",
    "IMAGES_INPUT",
    "INT8",
    "ONNXRUNTIME",
    "OPSETS",
    "PERSON_SCORES_OUTPUT",
    "RTMDET",
    "RTX",
    "TENSORRT",
    "TENSORRT_8_OPSET",
    "YOLOX",
    "BatchRange",
    "Check",
    "DetectorFacts",
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
    "chosen_precision",
    "examine",
    "manifest_beside",
    "manifest_from_json",
    "manifest_from_metadata",
    "manifest_path",
    "not_a_person_detector",
    "not_a_pose_network",
    "plan_header_of",
    "preflight",
    "read_artefact",
    "read_manifest",
    "read_plan_header",
    "takes_both_forms",
]
