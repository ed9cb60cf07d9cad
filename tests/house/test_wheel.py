"""The wheel holds the package and the declared files, nothing else, and what it holds works where it is unpacked."""

from __future__ import annotations

import email
import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DECLARED = {
    "export": "*.toml",
    "export/fetch": "*.toml",
    "engines": "*.toml",
    "calib": "*.toml",
    "bench/published": "*.csv",
    "bench/forecast": "*.*",
}

LOADED = """
import json
from amfac_edge.declared.calibration_set import calibration_set_names, load_calibration_set
from amfac_edge.declared.public_model import load_public_model, public_model_names
from amfac_edge.declared.published import load_published, published_names
from amfac_edge.declared.recipe import load_recipe, recipe_names
from amfac_edge.declared.target import load_target, target_names
import amfac_edge
loaded = {
    "recipes": [load_recipe(name).name for name in recipe_names()],
    "targets": [load_target(name).name for name in target_names()],
    "models": [load_public_model(name).name for name in public_model_names()],
    "tables": [load_published(name).name for name in published_names()],
    "sets": [load_calibration_set(name).name for name in calibration_set_names()],
}
print(json.dumps([amfac_edge.__file__, loaded]))
"""


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_contents_are_the_package_and_the_declared_files(
    wheel: zipfile.ZipFile, tree: Path, sources: list[Path]
) -> None:
    package = {str(path.relative_to(tree)) for path in sources} | {"amfac_edge/py.typed", "amfac_edge/sessions/warp.cu"}
    package |= {f"amfac_edge/live/{name}" for name in ("page.html", "page_login.html", "page.css", "page.js")}
    package.add("amfac_edge/performance/report/report.css")
    declared = {
        f"amfac_edge/_declared/{folder}/{path.name}"
        for folder, pattern in DECLARED.items()
        for path in (tree / folder).glob(pattern)
    }
    assert {name.split("/")[2] for name in declared} >= {"export", "engines", "bench"}
    information = {name for name in wheel.namelist() if name.split("/")[0].endswith(".dist-info")}
    assert {name.partition("/")[2] for name in information} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert set(wheel.namelist()) - information == package | declared


def test_the_usual_faults_of_a_wheel_are_absent(wheel: zipfile.ZipFile, tree: Path) -> None:
    command = [sys.executable, "-m", "check_wheel_contents", str(wheel.filename)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tree)
    assert done.returncode == 0, done.stdout


def test_metadata_says_what_is_needed_and_no_more(wheel: zipfile.ZipFile, pyproject: dict[str, Any]) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    said = email.message_from_bytes(wheel.read(name))
    base = {line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert base == {"numpy>=1.21", "tomli>=2.0; python_version < '3.11'"}
    assert set(said.get_all("Provides-Extra", [])) == set(pyproject["project"]["optional-dependencies"])
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.10", "Apache-2.0")


def test_declared_files_load_from_an_unpacked_wheel(wheel: zipfile.ZipFile, tree: Path, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    command = [sys.executable, "-c", LOADED]
    # PYTHONPATH stands before the site folders, where an editable install of this tree may lie.
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    origin, loaded = json.loads(done.stdout)
    assert origin == str(tmp_path / "amfac_edge" / "__init__.py")
    folders = {
        "recipes": "export", "models": "export/fetch", "targets": "engines", "tables": "bench/published",
        "sets": "calib",
    }  # fmt: skip
    for noun, folder in folders.items():
        assert loaded[noun] == sorted(path.stem for path in (tree / folder).glob(DECLARED[folder]))
