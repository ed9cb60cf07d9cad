"""docs/networks.md says what the code does: its TOML examples load, its figures are the counted ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from amfac_edge.declared.recipe import load_recipe
from amfac_edge.networks import build_network, count_complexity
from amfac_edge.networks.key_map import load_key_map

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
ROWS = re.findall(r"^\| (\S+-r\d\d-\S+) \| \S+ / \S+ \| (\S+) / (\S+) \| (\S*) ?\|$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("text", [text for text in EXAMPLES if "family" in text])
def test_example_recipes_build(tmp_path: Path, text: str) -> None:
    path = tmp_path / "example.toml"
    path.write_text(text)
    with torch.device("meta"):
        build_network(path)


def test_the_example_key_map_is_read(tmp_path: Path) -> None:
    (text,) = (text for text in EXAMPLES if "[[rename]]" in text)
    path = tmp_path / "keys.toml"
    path.write_text(text)
    key_map = load_key_map(path)
    assert (len(key_map.drop), len(key_map.keys), len(key_map.renames)) == (2, 2, 2)


def test_both_kinds_of_examples_are_there() -> None:
    assert len(EXAMPLES) == 3
    assert len(ROWS) == 14


@pytest.mark.parametrize(("name", "millions", "printed", "whole"), ROWS)
def test_the_figures_are_the_counted_ones(name: str, millions: str, printed: str, whole: str) -> None:
    recipe = load_recipe(name)
    with torch.device("meta"):
        counted = count_complexity(build_network(recipe), recipe)
    assert f"{counted.parameters / 1e6:.4f}" == millions
    assert f"{counted.printed_macs / 1e9:.4f}" == printed
    assert (f"{counted.macs / 1e9:.4f}" if counted.transposed_macs else "") == whole
