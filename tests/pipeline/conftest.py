"""A small AMFACPose: the whole pipeline in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

TINY_RECIPE = """
schema = "amfac-recipe/1"
name = "tiny"
family = "amfacpose"
skeleton = "coco-17"
[input]
height = 64
width = 48
[simcc]
temperature = 0.8
[network]
backbone = "resnet18"
stem_channels = [8, 8, 8]
stage_channels = [8, 16, 16, 16]
afpn_width = 8
hidden = 16
"""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    fresh_checkpoint(tiny_recipe, 0, path)
    return path
