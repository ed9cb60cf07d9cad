"""A public function that takes or returns an array says its shape.

Public is what `__all__` promises: functions, and the methods of classes without an underscore (or `__call__`). An array
is a parameter or result annotated with NDArray, ndarray or Tensor, itself or within another type. The shape stands in
the function's docstring or in its class's, as "(N, K, 2)", "(N,)" or "a scalar", or in words ("whose shapes are ...").
A named alias of an array type (`Bgr`) carries its shape in its own docstring. Two ways around, as a reader sees them: a
docstring that refers to another member ("See `PoseSession.run`", "The same, ...") has its shapes there, and arrays in a
mapping have any.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARRAY = re.compile(r"\b(?:NDArray|ndarray|Tensor)\b")
NO_ARRAY = re.compile(r"\b(?:dict|Mapping)\[str, [^\]]*\]\]?|\bTypeGuard\[\w+\]")
SHAPE = re.compile(r"\((?:[\w·'/+*]+ *, *)+(?:[\w·'/+*]+|\.{3})?\)|\bscalar\b|\bshapes are\b")
REFERENCE = re.compile(r"^The same\b|`[A-Z]\w*\.\w+`", re.MULTILINE)


def test_every_array_has_a_shape(sources: list[Path], tree: Path) -> None:
    lacking = [
        f"{source.relative_to(tree)}:{function.lineno} {function.name}"
        for source in sources
        for function, about in _public_functions(ast.parse(source.read_text()))
        if _arrays(function) and not SHAPE.search(about) and not REFERENCE.search(about)
    ]
    assert not lacking, "\n".join(lacking)


def test_every_alias_of_an_array_has_a_shape(sources: list[Path]) -> None:
    aliases = [alias for source in sources for alias in _aliases(ast.parse(source.read_text()).body)]
    assert aliases
    assert [name for name, about in aliases if not SHAPE.search(about)] == []


def test_the_rule_tells_shapes_from_other_brackets() -> None:
    for shape in ("(N,4)", "(N, K, 2)", "(B,K,W·k)", "(N,)", "(N, ...)", "(B,C',H/s,W/s)", "a scalar"):
        assert SHAPE.search(shape), shape
    for other in ("(see there)", "(the box, in pixels)", "f(x)", "()"):
        assert not SHAPE.search(other), other


def _public_functions(module: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Each promised function with the text that may hold its shapes."""
    for each in module.body:
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
            yield each, ast.get_docstring(each) or ""
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            about = ast.get_docstring(each) or ""
            for method in each.body:
                if isinstance(method, ast.FunctionDef) and (method.name == "__call__" or method.name[0] != "_"):
                    yield method, f"{about}\n{ast.get_docstring(method) or ''}"


def _arrays(function: ast.FunctionDef) -> list[str]:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [ast.unparse(each.annotation) for each in arguments if each.annotation]
    annotations += [ast.unparse(function.returns)] if function.returns else []
    return [text for text in annotations if ARRAY.search(NO_ARRAY.sub("", text))]


def _aliases(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Each public `Name = NDArray[...]` with the string that follows it."""
    for each, following in zip(statements, [*statements[1:], ast.Pass()], strict=True):
        if not isinstance(each, ast.Assign) or not isinstance(each.targets[0], ast.Name):
            continue
        name = each.targets[0].id
        if ARRAY.match(ast.unparse(each.value)) and not name.startswith("_"):
            text = (
                following.value.value
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                else ""
            )
            yield name, str(text)
