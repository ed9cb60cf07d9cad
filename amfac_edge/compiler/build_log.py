"""The log of one TensorRT object: TensorRT reports what went wrong there, and nowhere else."""

from __future__ import annotations

from typing import Any

__all__ = ["build_logger"]

_MOST_LINES = 2000


def build_logger(trt: Any, lines: list[str]) -> Any:  # noqa: ANN401 - TensorRT's own
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
