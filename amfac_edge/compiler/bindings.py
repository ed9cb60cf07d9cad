"""The Python bindings of TensorRT and of TensorRT-RTX, loaded when a plan is built: the one place that imports them.

Their interfaces are one but for names that came and went; `tests/facts/tensorrt_api.json` records which version has
which, and a test compares every name that is used here and in `building` with it.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.errors import MachineError, MissingExtraError

__all__ = ["has_builder", "load_bindings"]

_MODULES = {TENSORRT: "tensorrt", RTX: "tensorrt_rtx"}


def has_builder(flavour: str) -> bool:
    """Whether the bindings of "tensorrt" or "tensorrt-rtx" are installed; they are not loaded."""
    return importlib.util.find_spec(_MODULES[flavour]) is not None


def load_bindings(flavour: str) -> Any:  # noqa: ANN401 - a foreign module; `building` is where its types end
    """The module of "tensorrt" or "tensorrt-rtx".

    Raises:
        MissingExtraError: it is not installed.
        MachineError: it is, and one of its libraries doesn't load.
    """
    name = _MODULES[flavour]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        if flavour == RTX:
            raise MissingExtraError.of("tensorrt-rtx", "rtx", use="building a TensorRT-RTX plan") from None
        raise MachineError(
            "building a TensorRT plan needs TensorRT's Python bindings, which are not here",
            cure="On a Jetson: sudo apt install python3-libnvinfer; elsewhere: pip install tensorrt",
        ) from None
    except (ImportError, OSError) as error:
        raise MachineError(
            f"{name} is installed, and doesn't load: {str(error).partition(chr(10))[0]}",
            cure="amfac-doctor  # says what this machine lacks",
        ) from error
