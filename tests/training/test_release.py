"""A release: half the bytes, the same joints and facts, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.errors import GateError, OutputError
from amfac_edge.networks import load_checkpoint, save_checkpoint
from amfac_edge.networks.fresh import fresh_network
from amfac_edge.training.release import main, release_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path, tiny_recipe: Path) -> Path:
    recipe = load_recipe(tiny_recipe)
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, fresh_network(recipe, 1), recipe, trained=True, extra={"training": {"epoch": 7}})
    return path


def test_kernels_are_halved_and_the_rest_is_kept(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "released" / "tiny.safetensors"
    assert main([str(source), str(target)]) == 0
    before, after = load_file(source), load_file(target)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert after[name].dtype == (torch.float16 if value.ndim > 1 else value.dtype), name
        assert torch.equal(after[name], value.to(after[name].dtype)), name
    one, other = load_checkpoint(source), load_checkpoint(target)
    assert other.trained is True
    assert other.recipe == one.recipe
    assert other.metadata["training"] == {"epoch": 7}
    assert other.metadata["version"] == one.metadata["version"]


def test_weights_that_no_half_can_hold_are_not_released(source: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(source)
    with torch.no_grad():
        next(each for each in loaded.network.parameters() if each.ndim > 1).mul_(1e6)
    save_checkpoint(source, loaded.network, loaded.recipe, trained=True)
    target = tmp_path / "tiny.safetensors"
    with pytest.raises(GateError, match="half precision moves"):
        release_checkpoint(source, target)
    assert not target.exists()


def test_the_source_is_never_overwritten(source: Path) -> None:
    with pytest.raises(OutputError, match="would overwrite what is read"):
        release_checkpoint(source, source)


def test_a_mistake_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.pth"), str(tmp_path / "out.safetensors")]) == 2
    assert "does not exist" in capsys.readouterr().err
