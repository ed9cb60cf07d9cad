"""pyproject.toml, the constraints and the code say the same."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli import command

if TYPE_CHECKING:
    from pathlib import Path


def test_the_floor_is_one(pyproject: dict[str, Any]) -> None:
    tools = pyproject["tool"]
    assert pyproject["project"]["requires-python"] == ">=3.10"
    assert tools["ruff"]["target-version"] == "py310"
    assert tools["mypy"]["python_version"] == tools["basedpyright"]["pythonVersion"] == "3.10"


def test_every_room_stands_on_a_floor(pyproject: dict[str, Any], sources: list[Path], tree: Path) -> None:
    layers = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = [name.strip() for layer in layers for name in layer.split("|")]
    rooms = {source.relative_to(tree / "amfac_edge").parts[0].removesuffix(".py") for source in sources} - {"__init__"}
    assert rooms <= {name.strip("()") for name in floors}
    assert {name for name in floors if not name.startswith("(")} <= rooms


def test_what_is_installed_for_tests_is_pinned(pyproject: dict[str, Any], tree: Path) -> None:
    pins = set(re.findall(r"^([\w.-]+)==", (tree / "requirements" / "constraints.txt").read_text(), re.MULTILINE))
    extras = pyproject["project"]["optional-dependencies"]
    needed = [*pyproject["project"]["dependencies"], *extras["cpu"], *extras["export"], *extras["dev"]]
    assert {_package(each) for each in needed} - pins == {"amfac-edge"}


@pytest.mark.parametrize(("package", "extra"), sorted(set(command._EXTRA_OF.values())))
def test_the_last_net_names_extras_that_hold_the_package(package: str, extra: str, pyproject: dict[str, Any]) -> None:
    assert package in {_package(each) for each in pyproject["project"]["optional-dependencies"][extra]}


def test_errors_name_extras_that_hold_the_package(pyproject: dict[str, Any], sources: list[Path]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    named = [call for source in sources for call in _missing_extras(source)]
    assert len(named) > 1
    assert [(p, e) for p, e in named if p not in {_package(each) for each in extras.get(e, [])}] == []


def _missing_extras(source: Path) -> list[tuple[str, str]]:
    """(package, extra) of each `MissingExtraError.of("package", "extra", ...)` with both written out."""
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    texts = [
        [each.value for each in call.args if isinstance(each, ast.Constant)]
        for call in calls
        if ast.unparse(call.func) == "MissingExtraError.of"
    ]
    return [(str(text[0]), str(text[1])) for text in texts if len(text) == 2]


def _package(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return found.group()


def test_make_rtx_installs_the_release_of_the_extra(pyproject: dict[str, Any], tree: Path) -> None:
    pin = next(each for each in pyproject["project"]["optional-dependencies"]["rtx"] if "tensorrt-rtx" in each)
    assert f'"{pin}"' in (tree / "Makefile").read_text()
