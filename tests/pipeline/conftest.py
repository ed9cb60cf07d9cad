"""A small AMFACPose: the whole pipeline in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    fresh_checkpoint(tiny_recipe, 0, path)
    return path
