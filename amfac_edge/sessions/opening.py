"""Which engine opens which file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from amfac_edge.errors import MachineError, ModelFileError

if TYPE_CHECKING:
    from amfac_edge.sessions.session import PoseSession

__all__ = ["open_session"]

# The first four bytes of a serialised engine: TensorRT proper and TensorRT-RTX.
_PLAN_HEADERS = {b"ftrt": "a TensorRT plan", b"vtrt": "a TensorRT-RTX plan"}
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
        InputError: `threads` below 1.
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
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            header = stream.read(4)
    except OSError as error:
        raise ModelFileError(f"{path}: can't be read: {error.strerror}", cure="Check its permissions.") from error
    if header in _PLAN_HEADERS or path.suffix == ".plan":
        raise MachineError(
            f"{path}: {_PLAN_HEADERS.get(header, 'a plan')}, which this version of amfac-edge can't run yet",
            cure="Run the model's .onnx for the target cpu: amfac-export CHECKPOINT --target cpu",
        )
    if not 0 < size <= _LARGEST:
        problem = (
            "the file is empty" if not size else f"{size:,} bytes are more than an ONNX file can have ({_LARGEST:,})"
        )
        raise ModelFileError(f"{path}: {problem}", cure="Copy the artefact once more, or export the model again.")
