"""The bindings of TensorRT and of TensorRT-RTX that a plan is built with, loaded when one is."""

from __future__ import annotations

import importlib.util
from typing import Any

from amfac_edge.artefact import RTX
from amfac_edge.sessions.tensorrt_library import MODULES, load_library

__all__ = ["has_builder", "load_bindings"]


def has_builder(flavour: str) -> bool:
    """Whether the bindings of "tensorrt" or "tensorrt-rtx" are installed; they are not loaded."""
    return importlib.util.find_spec(MODULES[flavour]) is not None


def load_bindings(flavour: str) -> Any:  # noqa: ANN401 - a foreign module; `building` is where its types end
    """The module of "tensorrt" or "tensorrt-rtx".

    Raises:
        MissingExtraError: it is not installed.
        MachineError: it is, and one of its libraries doesn't load.
    """
    return load_library(flavour, use=f"building a {'TensorRT-RTX' if flavour == RTX else 'TensorRT'} plan")
