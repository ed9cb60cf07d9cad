"""Which engine opens which file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from amfac_edge.artefact import read_plan_header
from amfac_edge.artefact.identify import identify
from amfac_edge.errors import InputError, ModelFileError, typed

if TYPE_CHECKING:
    from amfac_edge.sessions.session import DetectorSession, PoseSession

__all__ = ["PROVIDERS", "WAITS", "GpuOptions", "PoseGpuOptions", "open_detector_session", "open_session"]

PROVIDERS = ("cpu", "cuda")
WAITS = ("block", "spin")
_LARGEST = (1 << 31) - 1
_CHECKPOINTS = {"pytorch-checkpoint", "torchscript", "safetensors"}
_KIT = ".kit.tar.gz"


class GpuOptions(TypedDict, total=False):
    """Arguments of `open_session` that mean a GPU, for whoever passes them on."""

    provider: str
    cuda: str | None
    wait: str
    host_code: bool


class PoseGpuOptions(GpuOptions, total=False):
    """The same, with what is of pose networks alone."""

    by_name: bool


def open_session(  # noqa: PLR0913 - all but one are of one kind of file
    path: str | Path,
    *,
    threads: int | None = None,
    spinning: bool = True,
    provider: str = "cpu",
    cuda: str | None = None,
    context: Any = None,  # noqa: ANN401 - pycuda's own
    wait: str = "block",
    host_code: bool = False,
    by_name: bool = False,
) -> PoseSession:
    """Load an artefact of amfac-export; the file says which engine it is for.

    Args:
        path: of an ONNX file, its manifest (`<path>.json`) beside it or its metadata inside; or of a plan of TensorRT
            or TensorRT-RTX, its manifest beside it.
        threads: of an ONNX file: that one call may use; None for the physical cores that this process may run on.
        spinning: of an ONNX file: whether idle threads wait actively. That saves up to a third of the latency on a
            quiet machine; on one whose cores are busy with other work it makes latency many times worse.
        provider: of an ONNX file: "cpu", or "cuda" for ONNX Runtime on an NVIDIA card.
        cuda: of a plan: "cuda-python" or "pycuda"; None for the first of them that is installed.
        context: of a plan: a `pycuda.driver.Context` of the caller's to run in.
        wait: of a plan: "block", or "spin", which keeps a core busy while the GPU computes and saves microseconds.
        host_code: of a plan: run the code for the CPU that a version-compatible plan brings. Only for plans whose maker
            you trust.
        by_name: of a plan that has lost its manifest: its engine's name tells the recipe. Its precision and target are
            "unknown" then; enough to measure it.

    Raises:
        ModelFileError: no file, an empty or damaged one, one that is not an artefact, or one that differs from its
            manifest.
        MachineError: the plan isn't for this machine, or something to run the file with is missing.
        InputError: an option's value that isn't known, or a file that can't be read.
    """
    return _opened(
        Path(path),
        {"threads": threads, "spinning": spinning, "provider": provider},
        {"cuda": cuda, "context": context, "wait": wait, "host_code": host_code, "by_name": by_name},
        detector=False,
    )


def open_detector_session(
    path: str | Path,
    *,
    threads: int | None = None,
    spinning: bool = True,
    provider: str = "cpu",
    cuda: str | None = None,
    wait: str = "block",
    host_code: bool = False,
) -> DetectorSession:
    """Load the artefact of a person detector; arguments and errors are those of `open_session`."""
    return _opened(
        Path(path),
        {"threads": threads, "spinning": spinning, "provider": provider},
        {"cuda": cuda, "wait": wait, "host_code": host_code},
        detector=True,
    )


def _opened(path: Path, of_onnx: dict[str, Any], of_plan: dict[str, Any], *, detector: bool) -> Any:  # noqa: ANN401 - either
    if of_onnx["provider"] not in PROVIDERS:
        raise InputError(f'provider="{of_onnx["provider"]}" is not known', cure='Give "cpu" or "cuda".')
    if _is_plan(path):
        from amfac_edge.sessions.tensorrt_session import TensorRtSession  # noqa: PLC0415 - an engine is loaded on demand

        return TensorRtSession(path, **of_plan, detector=detector)
    from amfac_edge.sessions.onnxruntime_session import OnnxRuntimeSession  # noqa: PLC0415 - as above

    return OnnxRuntimeSession(path, **of_onnx, detector=detector)


def _is_plan(path: Path) -> bool:
    if not path.is_file():
        raise ModelFileError(
            f"{path}: {'not a file' if path.exists() else 'no such file'}",
            cure="Give the .onnx or .plan that amfac-export wrote.",
        )
    header = read_plan_header(path)
    if header.flavour is not None or (path.suffix == ".plan" and header.kind != "onnx"):
        return True
    size = header.size
    if not 0 < size <= _LARGEST:
        problem = (
            "the file is empty" if not size else f"{size:,} bytes are more than an ONNX file can have ({_LARGEST:,})"
        )
        raise ModelFileError(f"{path}: {problem}", cure="Copy the artefact once more, or export the model again.")
    if header.kind != "onnx" and path.suffix != ".onnx":  # of a damaged .onnx its library says more
        _refuse_other_kinds(path)
    return False


def _refuse_other_kinds(path: Path) -> None:
    """Say of what is no artefact what it is."""
    found = identify(path)
    if found.kind in {"onnx", "onnx-artefact"}:
        return
    cure = "Give the .onnx or .plan that amfac-export wrote."
    if found.kind in _CHECKPOINTS:
        cure = f"amfac-export {typed(path)} --target auto makes an artefact of it."
    elif found.kind == "manifest":
        cure = f"Give the artefact that it describes: {path.with_suffix('')}, say."
    elif path.name.endswith(_KIT):
        cure = f"It is a board kit: tar xzf {typed(path)} on the board, and run the build.py in it."
    raise ModelFileError(f"{path}: no artefact: {found.title}", cure=cure)
