"""Operators and bytes of small networks, counted by hand."""

from __future__ import annotations

from torch import Tensor, nn

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.networks.eager_cost import EagerCost, eager_cost

RECIPE = load_recipe("amfacpose-r18-128x128")
PIXELS = 128 * 128


def test_a_convolution_reads_its_input_and_weights_and_writes_its_output() -> None:
    network = nn.Conv2d(3, 8, 3, padding=1)
    assert eager_cost(network, RECIPE) == EagerCost(1, 4 * (3 * PIXELS + 8 * 3 * 9 + 8 + 8 * PIXELS))


class _Viewing(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(2).transpose(1, 2).unsqueeze(0)


def test_views_cost_nothing() -> None:
    assert eager_cost(_Viewing(), RECIPE) == EagerCost(0, 0)


class _Squaring(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image * image


def test_a_tensor_that_is_read_twice_is_counted_once() -> None:
    assert eager_cost(_Squaring(), RECIPE) == EagerCost(1, 4 * 2 * 3 * PIXELS)


def test_the_network_keeps_its_weights() -> None:
    network = nn.Conv2d(3, 8, 3)
    eager_cost(network, RECIPE)
    assert network.weight.device.type == "cpu"
