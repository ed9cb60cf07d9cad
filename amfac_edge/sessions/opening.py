"""Which engine opens which file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.artefact import read_plan_header
from amfac_edge.errors import MachineError, ModelFileError

if TYPE_CHECKING:
    from amfac_edge.sessions.session import PoseSession

__all__ = ["open_session"]

_LARGEST = (1 << 31) - 1


def open_session(path: str | Path, *, threads: int | None = None, spinning: bool = True) -> PoseSession:
    """Load an artefact of amfac-export.

    Args:
        path: of an ONNX file, its manifest (`<path>.json`) beside it or its metadata inside.
        threads: that one call may use; None for the physical cores that this process may run on.
        spinning: whether idle threads wait actively. That saves up to a third of the latency on a quiet machine; on one
            whose cores are busy with other work it makes latency many times worse.

    Raises:
        ModelFileError: no file, an empty or damaged one, one that is not an artefact, or one that differs from its
            manifest.
        MachineError: a plan, or onnxruntime is missing.
        InputError: `threads` below 1, or a file that can't be read.
    """
    path = Path(path)
    _check_file(path)
    from amfac_edge.sessions.onnxruntime_session import OnnxRuntimeSession  # noqa: PLC0415 - an engine is loaded on demand

    return OnnxRuntimeSession(path, threads=threads, spinning=spinning)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError(
            f"{path}: {'not a file' if path.exists() else 'no such file'}",
            cure="Give the .onnx that amfac-export wrote.",
        )
    header = read_plan_header(path)
    if header.flavour is not None or path.suffix == ".plan":
        kind = "a plan" if header.flavour is None else header.title
        raise MachineError(
            f"{path}: {kind}, which this version of amfac-edge can't run yet",
            cure="Run the model's .onnx for the target cpu: amfac-export CHECKPOINT --target cpu",
        )
    size = header.size
    if not 0 < size <= _LARGEST:
        problem = (
            "the file is empty" if not size else f"{size:,} bytes are more than an ONNX file can have ({_LARGEST:,})"
        )
        raise ModelFileError(f"{path}: {problem}", cure="Copy the artefact once more, or export the model again.")
