"""Seeded, untrained weights that behave like a network's: for tests, demonstrations and speed, never for poses.

    python -m amfac_edge.networks.fresh RECIPE --seed 0 --out fresh.pth

Torch's own initial weights leave every batch-norm with mean 0 and variance 1, and the signal dies on its way: the
logits of two pictures differ by 1e-6. Here the batch-norms have measured one batch of generated crops, and the last
layer is scaled, so that logits differ between pictures and between bins by whole units, as a trained network's do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from amfac_edge.declared.recipe import Recipe, load_recipe
from amfac_edge.errors import AmfacError
from amfac_edge.networks.building import build_network
from amfac_edge.networks.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fresh_checkpoint", "fresh_network", "generated_crops", "main"]

_CROPS = 8
_LOGIT_SPREAD = 3.0
_CELLS = (2, 5, 12, 40)


def fresh_network(recipe: str | Path | Recipe, seed: int) -> nn.Module:
    """The network of a recipe with seeded weights, in eval mode; torch's global random state is left as it was.

    The same seed gives the same weights on the same machine, version of torch and number of threads.

    Raises:
        DeclaredError: unknown or faulty recipe.
        InputError: a recipe of a network that is known by its ONNX only.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = build_network(recipe)
        crops = generated_crops(recipe, _CROPS, seed)
        _measure_statistics(network, crops)
        for axis, logits in zip("xy", network(crops[:2]), strict=True):
            scale = _LOGIT_SPREAD / logits.std().clamp_min(1e-6)
            for parameter in network.get_submodule(f"head_{axis}.bins").parameters():
                parameter.mul_(scale)
    return network


def fresh_checkpoint(recipe: str | Path | Recipe, seed: int, path: Path) -> str:
    """Write `fresh_network(recipe, seed)` as a checkpoint that says it is untrained; return the SHA-256 of its weights.

    Raises:
        DeclaredError, InputError: as `fresh_network` and `save_checkpoint`.
        OutputError: the place can't be written to.
    """
    recipe = load_recipe(recipe) if isinstance(recipe, str | Path) else recipe
    return save_checkpoint(path, fresh_network(recipe, seed), recipe, trained=False, extra={"seed": seed})


def generated_crops(recipe: Recipe, count: int, seed: int) -> Tensor:
    """Coloured blots at four scales with varied light and contrast, normalised: (count,3,H,W) float32, RGB."""
    generator = torch.Generator().manual_seed(seed)
    size = (recipe.crop.height, recipe.crop.width)
    crops = torch.rand(count, 3, 1, 1, generator=generator).expand(count, 3, *size)
    contrast = 0.1 + 0.9 * torch.rand(count, 1, 1, 1, generator=generator)
    for cells in _CELLS:
        blots = torch.rand(count, 3, cells, cells, generator=generator) - 0.5
        crops = crops + contrast * functional.interpolate(blots, size=size, mode="bilinear", align_corners=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (recipe.mean, recipe.std))
    return (crops.clamp(0, 1) - mean) / std


def _measure_statistics(network: nn.Module, crops: Tensor) -> None:
    """Give every batch-norm the mean and variance of one batch."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(crops)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a fresh checkpoint; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m amfac_edge.networks.fresh", description="Write seeded, untrained weights."
    )
    parser.add_argument("recipe", help="a recipe's name, or the path of its TOML")
    parser.add_argument("--seed", type=int, default=0, help="whole number from 0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .pth, .pt or .safetensors")
    options = parser.parse_args(arguments)
    try:
        digest = fresh_checkpoint(options.recipe, options.seed, options.out)
    except AmfacError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(
        f"{options.out}: untrained weights of {options.recipe}, seed {options.seed}, sha256 {digest[:16]}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
