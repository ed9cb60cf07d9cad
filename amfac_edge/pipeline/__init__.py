"""Checkpoint or ONNX -> artefact for a target.

The stages in order, each with its check, and nothing kept that fails one.
"""

from amfac_edge.pipeline.detectors import DetectorSource, export_detector, is_detector, read_detector
from amfac_edge.pipeline.exporting import STAGES, Exported, ExportRequest, export_artefacts, stage_count
from amfac_edge.pipeline.sources import Source, read_source

__all__ = [
    "STAGES",
    "DetectorSource",
    "ExportRequest",
    "Exported",
    "Source",
    "export_artefacts",
    "export_detector",
    "is_detector",
    "read_detector",
    "read_source",
    "stage_count",
]
