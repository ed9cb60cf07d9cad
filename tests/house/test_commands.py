"""Every command starts without its extras, tells its version, and ends a wrong command line in one line and code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import amfac_edge

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = """
import importlib, json, sys
blocked, module, function, command, words = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
sys.argv = [command, *words]
sys.exit(getattr(importlib.import_module(module), function)())
"""


@pytest.fixture
def run(command: str, heavy: list[str], pyproject: dict[str, Any]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command with these words, on a machine that has NumPy alone."""
    module, _, function = pyproject["project"]["scripts"][command].partition(":")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        case = json.dumps([[*heavy, "cv2", "onnxruntime"], module, function, command, words])
        return subprocess.run([sys.executable, "-c", PROGRAM, case], capture_output=True, text=True, check=False)

    return run


def test_help_needs_no_extra(command: str, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {command}")
    assert "--json" in done.stdout


def test_version_needs_no_extra(command: str, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{command} {amfac_edge.__version__}\n"


def test_a_wrong_option_is_one_clear_error(command: str, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run("--jsn")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(command)
    assert "--jsn is no option; " in done.stderr
    assert "Traceback" not in done.stderr
