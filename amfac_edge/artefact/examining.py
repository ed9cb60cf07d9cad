"""A file and its manifest, read once and held against a machine: the bytes that were judged are the bytes that load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact.manifest_reading import manifest_beside, manifest_from_metadata, manifest_path
from amfac_edge.artefact.onnx_header import read_onnx_header
from amfac_edge.artefact.plan_header import LARGEST_PLAN, PlanHeader, plan_header_of, read_plan_header
from amfac_edge.artefact.preflight import preflight
from amfac_edge.errors import InputError
from amfac_edge.files import file_bytes, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.artefact.manifest import Manifest
    from amfac_edge.artefact.verdict import Host, Verdict

__all__ = ["Examined", "examine"]


@dataclass(frozen=True)
class Examined:
    """What was found of a file.

    Attributes:
        header: its first bytes.
        manifest: beside it, or inside an ONNX; None where there is none that can be read.
        verdict: whether it will load.
        content: of a plan, the very bytes that the verdict is on: load these, since the file may be replaced meanwhile.
            None where it is no plan, or larger than one can be.
    """

    header: PlanHeader
    manifest: Manifest | None
    verdict: Verdict
    content: bytes | None


def examine(path: Path, host: Host) -> Examined:
    """Read a file and its manifest, and judge whether it will load on `host`.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    header = read_plan_header(path)
    content, digest = None, None
    if header.flavour is not None and header.size <= LARGEST_PLAN:
        content = file_bytes(path, limit=LARGEST_PLAN, what="plan")
        # Only these bytes count from here on, whatever the file holds by now.
        header, digest = plan_header_of(content), sha256_of(content)
    elif header.kind == "onnx" and header.size <= LARGEST_PLAN and manifest_path(path).exists():
        digest = sha256_of(path)
    manifest, fault = _manifest(path, header)
    verdict = preflight(header, host, manifest=manifest, manifest_fault=fault, digest=digest)
    return Examined(header, manifest, verdict, content)


def _manifest(path: Path, header: PlanHeader) -> tuple[Manifest | None, str | None]:
    try:
        if manifest_path(path).exists():
            return manifest_beside(path), None
        if header.kind == "onnx":
            return manifest_from_metadata(read_onnx_header(path).metadata, where=str(path)), None
    except InputError as error:
        return None, error.problem
    return None, None
