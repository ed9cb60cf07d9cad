from __future__ import annotations

import importlib.abc
import sys
from typing import TYPE_CHECKING

import pytest

from amfac_edge.errors import MachineError, MissingExtraError
from amfac_edge.keypoints import load_opencv

if TYPE_CHECKING:
    from collections.abc import Sequence


class Unloadable(importlib.abc.MetaPathFinder):
    """OpenCV on a server without a screen's libraries."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        del path, target
        if name == "cv2":
            message = "libGL.so.1: cannot open shared object file"
            raise ImportError(message)


def test_absent_names_the_use_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'drawing needs .*opencv-python.*not installed\n.*"amfac-edge\[cpu\]"'):
        load_opencv("drawing")


def test_installed_and_not_loadable_names_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Unloadable(), *sys.meta_path])
    with pytest.raises(
        MachineError, match=r"drawing needs OpenCV.*can't be loaded: libGL\.so\.1.*\n.*opencv-python-headless"
    ):
        load_opencv("drawing")
