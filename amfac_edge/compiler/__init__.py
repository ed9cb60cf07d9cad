"""An ONNX artefact becomes a TensorRT plan for one target: `plan_from_artefact`."""

from __future__ import annotations

from amfac_edge.compiler.bindings import has_builder
from amfac_edge.compiler.options import BuildOptions
from amfac_edge.compiler.plans import BuiltPlan, plan_from_artefact, plan_name, profile_of
from amfac_edge.compiler.progress import BuildProgress

__all__ = ["BuildOptions", "BuildProgress", "BuiltPlan", "has_builder", "plan_from_artefact", "plan_name", "profile_of"]
