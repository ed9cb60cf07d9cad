"""What the tests of the package's own shape look at: the tree, its declaration, its modules and its commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TREE = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((TREE / "pyproject.toml").read_text())
SOURCES = sorted((TREE / "amfac_edge").rglob("*.py"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each `command` of the package, or for each `module` (its importable name)."""
    if "command" in metafunc.fixturenames:
        metafunc.parametrize("command", sorted(PYPROJECT["project"]["scripts"]))
    if "module" in metafunc.fixturenames:
        metafunc.parametrize("module", [_module_name(source) for source in SOURCES])


@pytest.fixture(scope="session")
def tree() -> Path:
    """The checkout."""
    return TREE


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    """pyproject.toml."""
    return PYPROJECT


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    """Every Python file of the package."""
    return SOURCES


@pytest.fixture(scope="session")
def heavy() -> list[str]:
    """What a board does without: the packages that the lean contract forbids."""
    return list(_contract("lean")["forbidden_modules"])


@pytest.fixture(scope="session")
def lean_modules() -> list[str]:
    """Every module of the rooms and commands that the lean contract names."""
    roots = tuple(_contract("lean")["source_modules"])
    names = [_module_name(source) for source in SOURCES]
    return [name for name in names if name in roots or name.startswith(tuple(f"{root}." for root in roots))]


def _contract(identifier: str) -> dict[str, Any]:
    return next(each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each.get("id") == identifier)


def _module_name(source: Path) -> str:
    return ".".join(source.relative_to(TREE).with_suffix("").parts).removesuffix(".__init__")
