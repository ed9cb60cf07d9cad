"""The Python bindings of TensorRT (proper and lean) and of TensorRT-RTX: the one place that imports them.

Their interfaces are one but for names that came and went; `tests/facts/tensorrt_api.json` records which version has
which, and a test compares every name that is used with it. TensorRT reports what went wrong to a logger, and nowhere
else.
"""

from __future__ import annotations

import importlib
from typing import Any

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.errors import MachineError, MissingExtraError

__all__ = ["LEAN", "MODULES", "keeping_logger", "load_library"]

MODULES = {TENSORRT: "tensorrt", RTX: "tensorrt_rtx"}
# Runs version-compatible plans of TensorRT proper, and builds nothing.
LEAN = "tensorrt_lean"
_MOST_LINES = 2000


def load_library(flavour: str, *, use: str, lean: bool = False) -> Any:  # noqa: ANN401 - a foreign module
    """The module of "tensorrt" or "tensorrt-rtx".

    Args:
        flavour: which of the two.
        use: what it is needed for, "building a plan".
        lean: TensorRT's lean runtime will do where TensorRT itself isn't installed.

    Raises:
        MissingExtraError: it is not installed.
        MachineError: it is, and one of its libraries doesn't load.
    """
    library = _imported(MODULES[flavour])
    if library is None and lean and flavour == TENSORRT:
        library = _imported(LEAN)
    if library is not None:
        return library
    if flavour == RTX:
        raise MissingExtraError.of("tensorrt-rtx", "rtx", use=use)
    raise MachineError(
        f"{use} needs TensorRT's Python bindings, which are not here",
        cure="On a Jetson: sudo apt install python3-libnvinfer; elsewhere: pip install tensorrt",
    )


def _imported(name: str) -> Any:  # noqa: ANN401 - a foreign module
    """The module `name`, None where it isn't installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    except (ImportError, OSError) as error:
        raise MachineError(
            f"{name} is installed, and doesn't load: {str(error).partition(chr(10))[0]}",
            cure="amfac-doctor  # says what this machine lacks",
        ) from error


def keeping_logger(trt: Any, lines: list[str]) -> Any:  # noqa: ANN401 - TensorRT's own
    """A logger of the library `trt` that puts warnings and errors into `lines`, the last ones of a very long log."""

    class Keeper(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401 - TensorRT's own
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                lines.append(message)
                # A hostile graph can have a warning for each of its millions of nodes.
                del lines[:-_MOST_LINES]

    return Keeper()
