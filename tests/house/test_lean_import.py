"""What runs on a board imports where torch, onnx and their kin are absent; OpenCV and engines load on demand only.

The contracts of import-linter say the same statically; either alone can be fooled.
"""

from __future__ import annotations

import json
import subprocess
import sys

# Loaded by the first picture or the first engine, never by an import.
ON_DEMAND = ["cv2", "onnxruntime"]

BLOCKED = """
import importlib, json, sys
blocked, modules = json.loads(sys.argv[1])
for name in blocked:
    sys.modules[name] = None
for name in modules:
    importlib.import_module(name)
"""


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)


def test_lean_rooms_import_with_the_heavy_packages_blocked(heavy: list[str], lean_modules: list[str]) -> None:
    done = run(BLOCKED, json.dumps([heavy + ON_DEMAND, lean_modules]))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_block_would_be_noticed() -> None:
    done = run(BLOCKED, json.dumps([["torch"], ["torch"]]))
    assert done.returncode == 1
    assert "import of torch halted" in done.stderr


def test_the_estimator_is_imported_without_anything_heavy(heavy: list[str]) -> None:
    program = "import json, sys; from amfac_edge import PoseEstimator; print(json.dumps(sorted(sys.modules)))"
    done = run(program)
    assert done.stderr == ""
    loaded = set(json.loads(done.stdout))
    assert "amfac_edge.runtime" in loaded
    assert loaded.isdisjoint(heavy + ON_DEMAND)


def test_the_root_alone_loads_not_even_numpy() -> None:
    done = run("import sys, amfac_edge; print('numpy' in sys.modules, [m for m in sys.modules if 'amfac' in m])")
    assert done.stdout == "False ['amfac_edge']\n"
