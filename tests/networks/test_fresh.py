"""Untrained weights: the same from one seed, and with logits that are worth comparing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.networks import load_checkpoint, weights_digest
from amfac_edge.networks.fresh import fresh_checkpoint, fresh_network, generated_crops, main

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.declared.recipe import Recipe
    from tests.networks.conftest import MakeRecipe


def test_one_seed_gives_one_set_of_weights(tmp_path: Path, tiny: Recipe) -> None:
    digests = [fresh_checkpoint(tiny, seed, tmp_path / f"{number}.pth") for number, seed in enumerate((3, 3, 4))]
    assert digests[0] == digests[1] != digests[2]
    assert (tmp_path / "0.pth").read_bytes() == (tmp_path / "1.pth").read_bytes()


def test_the_file_says_that_it_is_untrained(tmp_path: Path, tiny: Recipe) -> None:
    digest = fresh_checkpoint(tiny, 3, tmp_path / "a.safetensors")
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert (loaded.trained, loaded.recipe, loaded.metadata["seed"]) == (False, tiny, 3)
    assert loaded.metadata["weights_sha256"] == digest


def test_the_global_random_state_is_left_alone(tiny: Recipe) -> None:
    before = torch.get_rng_state()
    fresh_network(tiny, 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", ["amfacpose", "eba-prnetcc"])
def test_logits_differ_between_bins_and_between_pictures(make_recipe: MakeRecipe, family: str) -> None:
    recipe = make_recipe(family)
    network = fresh_network(recipe, 0)
    assert not network.training
    with torch.no_grad():
        both = network(generated_crops(recipe, 16, seed=99))
    for logits in both:
        # Set to 3 on two other pictures; torch's own weights give 0.04 between bins and 1e-6 between pictures.
        assert 1 < logits.std() < 9
        assert logits.std(dim=0).mean() > 0.5
        assert len(logits.argmax(dim=-1).unique()) > 10


def test_statistics_are_those_of_the_crops_and_the_momentum_is_kept(tiny: Recipe) -> None:
    network = fresh_network(tiny, 0)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    first = next(iter(norms))
    assert first.running_mean is not None
    assert not torch.equal(first.running_mean, torch.zeros_like(first.running_mean))


def test_generated_crops_are_pictures_of_the_recipe(tiny: Recipe) -> None:
    crops = generated_crops(tiny, 4, seed=1)
    assert (crops.shape, crops.dtype) == ((4, 3, 64, 96), torch.float32)
    mean, std = torch.tensor(tiny.mean).view(3, 1, 1), torch.tensor(tiny.std).view(3, 1, 1)
    pixels = crops * std + mean
    assert pixels.min() > -1e-6
    assert pixels.max() < 1 + 1e-6
    assert torch.equal(crops, generated_crops(tiny, 4, seed=1))


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "fresh.pth"
    words = ["amfacpose-r18-128x128", "--seed", "7", "--out", str(out)]
    finished = subprocess.run(
        [sys.executable, "-m", "amfac_edge.networks.fresh", *words],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    loaded = load_checkpoint(out)
    assert (loaded.recipe, loaded.trained) == (load_recipe("amfacpose-r18-128x128"), False)
    assert weights_digest(loaded.network.state_dict())[:16] in finished.stderr
    assert "untrained weights of amfacpose-r18-128x128, seed 7" in finished.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["amfacpose-r18", "--out", "a.pth"], 'unknown recipe "amfacpose-r18"'),
        (["amfacpose-r18-128x128", "--out", "a.onnx"], "no checkpoint format has the suffix .onnx"),
    ],
)
def test_the_command_ends_in_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
