from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

import amfac_edge
import amfac_edge.runtime


def test_the_root_gives_the_runtime_on_first_use() -> None:
    assert amfac_edge.PoseEstimator is amfac_edge.runtime.PoseEstimator
    assert amfac_edge.Poses is amfac_edge.runtime.Poses


def test_the_version_stands_in_one_place(pyproject: dict[str, Any]) -> None:
    if amfac_edge.__version__ == "0+checkout":
        pytest.skip("the package is not installed here")
    assert amfac_edge.__version__ == pyproject["project"]["version"]


def test_the_root_lists_what_it_gives() -> None:
    assert set(amfac_edge.__all__) <= set(dir(amfac_edge))


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'amfac_edge' has no attribute 'PoseEstimater'"):
        amfac_edge.__getattr__("PoseEstimater")


def test_a_tree_that_was_never_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert amfac_edge.__getattr__("__version__") == "0+checkout"
    monkeypatch.undo()
    amfac_edge.__getattr__("__version__")
