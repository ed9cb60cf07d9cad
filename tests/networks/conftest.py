from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from amfac_edge.declared.recipe import Recipe, recipe_from_json
from amfac_edge.networks.fresh import fresh_network

if TYPE_CHECKING:
    from torch import Tensor

_TINY: dict[str, dict[str, Any]] = {
    "amfacpose": {"stem_channels": [4, 4, 8], "afpn_width": 4},
    "eba-prnetcc": {"deconv_channels": 8},
}


class MakeRecipe(Protocol):
    """Makes a recipe of a network small enough for a test; further keywords are fields of its network."""

    def __call__(
        self,
        family: str = ...,
        *,
        name: str = ...,
        skeleton: str = ...,
        temperature: float = ...,
        **network: Any,  # noqa: ANN401 - fields of any type
    ) -> Recipe: ...


@pytest.fixture(scope="session")
def make_recipe() -> MakeRecipe:
    def make(
        family: str = "amfacpose",
        *,
        name: str = "tiny",
        skeleton: str = "coco-17",
        temperature: float = 1.0,
        **network: Any,  # noqa: ANN401 - fields of any type
    ) -> Recipe:
        fields = {"backbone": "resnet18", "stage_channels": [8, 8, 16, 16], "hidden": 8, **_TINY[family], **network}
        data = {
            "family": family,
            "skeleton": skeleton,
            "input": {"height": 64, "width": 96},
            "simcc": {"temperature": temperature},
            "network": fields,
        }
        return recipe_from_json(data, where="a test", default_name=name)

    return make


@pytest.fixture(scope="session")
def tiny(make_recipe: MakeRecipe) -> Recipe:
    """A recipe whose network has 27 thousand parameters."""
    return make_recipe()


@pytest.fixture(scope="session")
def _tiny_state(tiny: Recipe) -> dict[str, Tensor]:
    return fresh_network(tiny, 0).state_dict()


@pytest.fixture
def state(_tiny_state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of `tiny`, of the test's own."""
    return {name: value.clone() for name, value in _tiny_state.items()}
