"""Checkpoints of 2-D human pose networks become verified engines for embedded boards; here is what runs them.

`PoseEstimator` and `Poses` load on first use, so that importing this package costs nothing and needs no extra.
Everything else is importable from its room (`amfac_edge.keypoints`, `amfac_edge.networks`, ...), whose `__all__` is
what we promise.
"""

from __future__ import annotations

import importlib
import os
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amfac_edge.runtime import PoseEstimator, Poses

    __version__: str

__all__ = ["PoseEstimator", "Poses", "__version__"]

# ONNX Runtime's wheels report to Microsoft about the machine and the process, and keep an id of it in the user's cache.
# It looks for this when it is imported, not later; who sets it otherwise has chosen.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    if name in {"PoseEstimator", "Poses"}:
        value: object = getattr(importlib.import_module("amfac_edge.runtime"), name)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    try:
        return metadata.version("amfac-edge")
    except metadata.PackageNotFoundError:
        return "0+checkout"  # run from a source tree that was never installed
