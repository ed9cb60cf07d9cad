"""An ONNX artefact becomes a TensorRT plan for one target: `plan_from_artefact`; at its first run: `plan_for_run`."""

from __future__ import annotations

from amfac_edge.compiler.bindings import has_builder
from amfac_edge.compiler.first_run import RunPlan, plan_for_run
from amfac_edge.compiler.options import BuildOptions
from amfac_edge.compiler.plans import BuiltPlan, plan_from_artefact, plan_name, profile_of
from amfac_edge.compiler.progress import BuildProgress

__all__ = [
    "BuildOptions",
    "BuildProgress",
    "BuiltPlan",
    "RunPlan",
    "has_builder",
    "plan_for_run",
    "plan_from_artefact",
    "plan_name",
    "profile_of",
]
