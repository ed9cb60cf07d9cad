"""What no file of the tree may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FORBIDDEN = {
    "the path of somebody's own machine": r"(?<![\w.])/(?:root|home|work|farm|Users)/",
    "a host of a package index": r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian",
    "a merge that was not finished": r"^(?:<{7}|>{7}) ",
}
# Limits that a reader can check: a clone stays small, and nothing third-party slips in as a large file.
LARGEST = 2 << 20


@pytest.fixture(scope="module")
def files(tree: Path) -> list[Path]:
    """The tracked files; in a source archive, which has no history, the test has nothing to look at."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=tree, capture_output=True, check=False)  # noqa: S607 - any git
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [tree / name for name in listed.stdout.decode().split("\0") if name and (tree / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str, files: list[Path], tree: Path) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    texts = {path.relative_to(tree): path.read_bytes().decode(errors="replace") for path in files}
    assert {str(name): pattern.findall(text)[:3] for name, text in texts.items() if pattern.search(text)} == {}


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("the path of somebody's own machine", "open('/" + "home/me/model.pth')"),
        ("a host of a package index", "https://pypi" + ".org/simple"),
        ("a merge that was not finished", "<" * 7 + " HEAD"),
    ],
)
def test_the_patterns_find_what_they_are_for(what: str, sample: str) -> None:
    assert re.search(FORBIDDEN[what], sample)


def test_released_weights_apart_no_file_is_large(files: list[Path], tree: Path) -> None:
    large = [path.relative_to(tree) for path in files if path.stat().st_size > LARGEST]
    assert [str(path) for path in large if path.parent.name != "checkpoints"] == []


def test_no_array_file_may_run_code(sources: list[Path]) -> None:
    calls = [
        node for source in sources for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)
    ]
    assert [ast.unparse(call) for call in calls for each in call.keywords if each.arg == "allow_pickle"] == []


def test_rooms_are_not_called_build_or_utils(sources: list[Path]) -> None:
    words = {part.removesuffix(".py") for source in sources for part in source.parts[-2:]}
    assert words.isdisjoint({"build", "utils", "helpers", "common", "misc"})
