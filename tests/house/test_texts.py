"""The texts for people name commands, options, targets, extras and files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TREE = Path(__file__).resolve().parents[2]
TEXTS = sorted([*TREE.glob("*.md"), *TREE.glob("docs/**/*.md"), *TREE.glob("examples/**/*.md")])
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(params=TEXTS, ids=lambda path: str(path.relative_to(TREE)))
def text(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def shown_commands(text: str) -> list[list[str]]:
    """The words of every command line in the fenced blocks, without comments; a backslash continues a line."""
    lines = "\n".join(FENCE.findall(text)).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").partition(" #")[0].split() for line in lines if line.strip()]


@cache
def help_of(function: str, *words: str) -> str:
    module, _, name = function.partition(":")
    program = f"import sys; from {module} import {name}; sys.exit({name}(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *words, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sub_commands(known: str) -> list[str]:
    found = re.search(r"^positional arguments:\n +\{?([\w|,-]+[|,][\w|,-]+)\}?$", known, re.MULTILINE)
    return re.split(r"[|,]", found.group(1)) if found else []


def test_local_links_lead_somewhere(text: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(text.read_text()) if not re.match(r"\w+:", link)]
    assert [link for link in links if link and not (text.parent / link).exists()] == []


def test_commands_and_their_options_exist(text: Path, pyproject: dict[str, Any]) -> None:
    scripts = pyproject["project"]["scripts"]
    for words in shown_commands(text.read_text()):
        if not words[0].startswith("amfac-"):
            continue
        assert words[0] in scripts
        known = help_of(scripts[words[0]])
        parts = sub_commands(known)
        # Where the first word is none of them, one of them is meant (amfac-bench FILE).
        for part in set(parts) & set(words[1:2]) or parts:
            known += help_of(scripts[words[0]], part)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [option for option in options if not re.search(rf"{option}\b", known)] == []


def test_make_targets_exist(text: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (TREE / "Makefile").read_text(), re.MULTILINE))
    asked = {words[1] for words in shown_commands(text.read_text()) if words[0] == "make" and len(words) > 1}
    assert asked <= targets


def test_extras_exist(text: Path, pyproject: dict[str, Any]) -> None:
    named = {name for group in re.findall(r"amfac-edge\[([\w,-]+)\]", text.read_text()) for name in group.split(",")}
    assert named <= set(pyproject["project"]["optional-dependencies"])
