"""Which recipe a checkpoint's tensors fit, by names and shapes alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from amfac_edge.declared.recipe import ForeignNetwork, Recipe, load_recipe, recipe_names
from amfac_edge.errors import CheckpointError
from amfac_edge.networks.building import build_network
from amfac_edge.networks.checkpoint_file import printable
from amfac_edge.networks.checkpoint_tensors import BATCH_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Misfit", "expected_shapes", "fitting_recipes", "inferred_recipe", "misfit", "require_fit"]

_SHOWN = 8


@dataclass(frozen=True)
class Misfit:
    """How the entries of a checkpoint differ from what a recipe's network has; empty where they fit.

    Attributes:
        missing: names and shapes that the network has and the checkpoint has not.
        unexpected: the reverse.
        misshaped: names with the shape found and the shape expected.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)

    def __str__(self) -> str:
        groups = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.misshaped))
        return "".join(f"\n  {len(names)} {what}: {_listed(names)}" for what, names in groups if names)


@functools.lru_cache(maxsize=64)
def expected_shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a recipe's network, built without memory or arithmetic."""
    with torch.device("meta"):
        network = build_network(recipe)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def misfit(shapes: Mapping[str, tuple[int, ...]], recipe: Recipe) -> Misfit:
    """Compare a checkpoint's names and shapes with a recipe's. Axes of size 1 don't count: they don't move a number."""
    expected = expected_shapes(recipe)
    wrong = [
        name for name, shape in shapes.items() if name in expected and _squeezed(shape) != _squeezed(expected[name])
    ]
    return Misfit(
        missing=tuple(
            f"{name} {shape}"
            for name, shape in expected.items()
            if name not in shapes and not name.endswith(BATCH_COUNT)
        ),
        unexpected=tuple(f"{printable(name)} {shape}" for name, shape in shapes.items() if name not in expected),
        misshaped=tuple(f"{name} {shapes[name]}, expected {expected[name]}" for name in wrong),
    )


def fitting_recipes(shapes: Mapping[str, tuple[int, ...]]) -> list[Recipe]:
    """The declared recipes that fit exactly, sorted by name."""
    return [recipe for recipe in _declared() if not misfit(shapes, recipe)]


def inferred_recipe(shapes: Mapping[str, tuple[int, ...]], *, where: str) -> Recipe:
    """The one declared recipe that fits.

    Raises:
        CheckpointError: none fits (the differences from the nearest are listed), or several do.
    """
    fitting = fitting_recipes(shapes)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = [recipe.name for recipe in fitting]
        raise CheckpointError(
            f"{where}: its weights fit {len(names)} recipes that differ in what weights don't show: {', '.join(names)}",
            cure=f"Say which it is: --recipe {names[0]}, for example.",
        )
    nearest = min(_declared(), key=lambda recipe: (len(misfit(shapes, recipe)), recipe.name))
    raise CheckpointError(
        f"{where}: its weights fit no declared recipe; the nearest is {nearest.name}:{misfit(shapes, nearest)}",
        cure="Rename an author's keys with --key-map, or describe the network in a TOML of your own and name that with "
        "--recipe (docs/networks.md).",
    )


def require_fit(shapes: Mapping[str, tuple[int, ...]], recipe: Recipe, *, where: str, said_by: str) -> None:
    """Check that a recipe which somebody named (`said_by`) fits.

    Raises:
        CheckpointError: it doesn't; the differences are listed, and a recipe that fits is named if there is one.
    """
    difference = misfit(shapes, recipe)
    if not difference:
        return
    fitting = [other.name for other in fitting_recipes(shapes)]
    cure = (
        f"Its weights fit {' and '.join(fitting)}: give --recipe {fitting[0]}."
        if fitting
        else "No declared recipe fits."
    )
    raise CheckpointError(
        f"{where}: its weights don't fit the recipe {printable(recipe.name)} {said_by}:{difference}", cure=cure
    )


def _declared() -> list[Recipe]:
    recipes = (load_recipe(name) for name in recipe_names())
    return [recipe for recipe in recipes if not isinstance(recipe.network, ForeignNetwork)]


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
