"""Checkpoint or ONNX -> artefact for a target.

The stages in order, each with its check, and nothing kept that fails one.
"""

from amfac_edge.pipeline.exporting import STAGES, Exported, ExportRequest, export_artefacts, stage_count
from amfac_edge.pipeline.sources import Source, read_source

__all__ = ["STAGES", "ExportRequest", "Exported", "Source", "export_artefacts", "read_source", "stage_count"]
