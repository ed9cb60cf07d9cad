"""Packages are found without importing them, and the extras are those of pyproject.toml."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.declared.reading import read_toml
from amfac_edge.declared.versions import version_number
from amfac_edge.machine.packages import EXTRAS, Interpreter, Packages, Requirement

if TYPE_CHECKING:
    from collections.abc import Callable

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
CPU, OPENCV = EXTRAS["cpu"]
TORCH = EXTRAS["export"][0]


def test_what_is_here(site: Callable[..., list[str]]) -> None:
    packages = Packages(site(torch="2.13.0+cpu", onnxruntime__gpu="1.20", opencv__contrib__python="4.10"))
    state = packages.state(TORCH)
    assert (state.distribution, state.version, state.fits, str(state)) == (
        "torch",
        "2.13.0+cpu",
        True,
        "torch 2.13.0+cpu",
    )
    assert packages.state(CPU).distribution == "onnxruntime-gpu"
    assert str(packages.state(OPENCV)) == "opencv-contrib-python 4.10"
    assert packages.version("onnx") is None


def test_what_is_too_old_or_too_new(site: Callable[..., list[str]]) -> None:
    packages = Packages(site(torch="2.5.0a0+nv24.8", numpy="2.1.0"))
    assert not packages.state(TORCH).fits
    assert str(packages.state(TORCH)) == "torch 2.5.0a0+nv24.8 (needs >=2.9)"
    assert not packages.state(EXTRAS["jetson"][0]).fits
    assert packages.state(EXTRAS["base"][0]).fits


def test_files_that_another_package_took_along(site: Callable[..., list[str]], tmp_path: Path) -> None:
    path = site(onnxruntime="1.20")
    (tmp_path / "site/onnxruntime/__init__.py").unlink()
    (tmp_path / "site/onnxruntime").rmdir()
    state = Packages(path).state(CPU)
    assert not state.fits
    assert str(state) == "onnxruntime (its files are gone)"


def test_a_module_of_the_system_has_no_record(site: Callable[..., list[str]]) -> None:
    state = Packages(site("cv2")).state(OPENCV)
    assert state.fits
    assert (state.distribution, str(state)) == (None, "cv2 (the system's own)")


def test_a_folder_of_that_name_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    assert not Packages([str(tmp_path)]).state(TORCH).fits


def test_the_gpu_runtime_is_not_the_one_for_the_cpu(site: Callable[..., list[str]]) -> None:
    gpu = next(one for one in EXTRAS["cuda"] if one.distribution == "onnxruntime-gpu")
    packages = Packages(site(onnxruntime="1.20"))
    assert packages.state(CPU).fits
    assert not packages.state(gpu).fits


def test_looking_imports_nothing() -> None:
    before = set(sys.modules)
    packages = Packages()
    for requirements in EXTRAS.values():
        for requirement in requirements:
            packages.state(requirement)
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {requirement.module for requirements in EXTRAS.values() for requirement in requirements}


def test_the_running_python() -> None:
    python = Interpreter.running()
    assert python.minor == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert python.version.startswith(python.minor)


def test_a_pinned_version_is_the_only_one() -> None:
    tensorrt_rtx = EXTRAS["rtx"][0]
    assert tensorrt_rtx.limits == f"=={tensorrt_rtx.at_least}"
    assert tensorrt_rtx.allows(tensorrt_rtx.at_least)
    assert not tensorrt_rtx.allows("99")


@pytest.mark.parametrize(("version", "number"), [("2.13.0+cpu", (2, 13, 0)), ("1.26", (1, 26)), ("of unknown", ())])
def test_version_numbers(version: str, number: tuple[int, ...]) -> None:
    assert version_number(version) == number


def declared(specification: str) -> tuple[str, str] | None:
    """Name and limits of a line of pyproject.toml; None for a line of another Python, or one that names an extra."""
    name, limits, marker = re.fullmatch(r"([\w-]+)(?:\[\w+\])?([^;]*)(?:;(.*))?", specification).groups()  # type: ignore[union-attr]
    if name == "amfac-edge" or (marker and ("< '3.11'" in marker) == (sys.version_info >= (3, 11))):
        return None
    return name, limits.strip()


def test_the_extras_are_those_of_the_package() -> None:
    project = read_toml(PYPROJECT)["project"]
    assert isinstance(project, dict)
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    assert set(extras) == set(EXTRAS) - {"base"}
    for name, lines in {**extras, "base": [line for line in project["dependencies"] if "tomli" not in line]}.items():
        wanted = dict(found for line in lines if (found := declared(line)))
        known: dict[str, Requirement] = {one.distribution: one for one in EXTRAS[name]}
        assert set(known) == set(wanted), name
        for distribution, limits in wanted.items():
            # Where the package gives no lowest version, that of the base stands here.
            assert known[distribution].limits in {limits, f">={known[distribution].at_least},{limits}"}, distribution
