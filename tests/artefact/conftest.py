from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="session")
def markers() -> ModuleType:
    """The module `marker_artefact.py`: a network with an answer known by hand."""
    # Test folders are no packages, so its path is what it can be found by.
    path = Path(__file__).parents[1] / "sessions" / "marker_artefact.py"
    spec = importlib.util.spec_from_file_location("marker_artefact", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
