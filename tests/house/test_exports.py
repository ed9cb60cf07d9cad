"""`__all__` is what a module promises: it equals what the module defines, or, for a room, what it gathers."""

from __future__ import annotations

import ast
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_exports_are_what_is_public(module: str, tree: Path) -> None:
    path = tree.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    statements = ast.parse(source.read_text()).body
    public = {name for name in _defined(statements) if not name.startswith("_")}
    if path.is_dir():
        public |= _gathered(statements)
    assert {name for name in _promised(statements) if name != "__version__"} == public


def test_promised_names_exist(module: str) -> None:
    imported = importlib.import_module(module)
    promised = getattr(imported, "__all__", [])
    assert [name for name in promised if not hasattr(imported, name)] == []
    assert len(set(promised)) == len(promised)


def _defined(statements: list[ast.stmt]) -> set[str]:
    names = {each.name for each in statements if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
    for each in statements:
        targets = (
            each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        )
        names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


def _gathered(statements: list[ast.stmt]) -> set[str]:
    """What a room's `__init__` imports from the room itself; the root's lazy ones stand under TYPE_CHECKING."""
    blocks = [statements] + [each.body for each in statements if isinstance(each, ast.If)]
    imports = [each for block in blocks for each in block if isinstance(each, ast.ImportFrom)]
    return {
        alias.asname or alias.name
        for each in imports
        if (each.module or "").startswith("amfac_edge.")
        for alias in each.names
    }


def _promised(statements: list[ast.stmt]) -> list[str]:
    for each in statements:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name) and each.targets[0].id == "__all__":
            return [str(name) for name in ast.literal_eval(each.value)]
    return []
