"""The recorded costs are those of the networks."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.recipe import ForeignNetwork, load_recipe, recipe_names
from amfac_edge.performance.forecast.recorded import recorded_eager, recorded_kernels

if TYPE_CHECKING:
    from types import ModuleType

OURS = [name for name in recipe_names() if not isinstance(load_recipe(name).network, ForeignNetwork)]


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    pytest.importorskip("torch", reason="counts the networks themselves: make test has torch, a board has not")
    path = Path(__file__).parents[2] / "facts" / "record_forecast_costs.py"
    spec = importlib.util.spec_from_file_location("record_forecast_costs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_network_of_the_papers_is_recorded() -> None:
    assert list(recorded_eager()) == OURS
    assert list(recorded_kernels()) == [(name, form) for name in OURS for form in ("gpu", "cpu")]


@pytest.mark.parametrize("name", OURS)
def test_eager_costs_are_the_networks_own(name: str, recorder: ModuleType) -> None:
    recorded = recorded_eager()[name]
    assert recorder.eager_row(name) == (name, *dataclasses.astuple(recorded))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gpu", "cpu"])
@pytest.mark.parametrize("name", ["amfacpose-r18-128x128", "eba-prnetcc-r18-128x128"])
def test_kernels_are_those_of_the_deployed_graph(name: str, form: str, recorder: ModuleType) -> None:
    assert recorder.kernels_of(name, form) == recorded_kernels()[name, form]
