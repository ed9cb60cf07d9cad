"""What can be known of the images without building them: bases, pins, users, and what is in none of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.cli import bench
from amfac_edge.declared.recipe import recipe_names
from amfac_edge.machine.packages import EXTRAS

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = ["cpu", "jetpack6", "jetpack6-eager", "jetpack7", "tensorrt-x86"]
# NVIDIA's tags are from its own lists of images; the rest are Docker's official images.
BASES = {
    "python:3.11-slim-bookworm",
    "ubuntu:24.04",
    "nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime",
    "nvcr.io/nvidia/l4t-jetpack:r36.4.0",
}
HEAVY = re.compile(r"\b(torch|torchvision|onnx|onnxsim|onnxscript)\b(?!runtime)")


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest, tree: Path) -> tuple[str, list[str]]:
    """An image's name, and its instructions with their continued lines joined and their comments gone."""
    lines = (tree / "docker" / f"{request.param}.Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return request.param, [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]


def _of(instructions: list[str], word: str) -> list[str]:
    return [line.partition(" ")[2] for line in instructions if line.startswith(f"{word} ")]


def test_every_file_is_tested_and_told(tree: Path) -> None:
    files = sorted(path.name for path in (tree / "docker").glob("*.Dockerfile"))
    assert set(files) == {f"{name}.Dockerfile" for name in IMAGES}
    told = (tree / "docker" / "README.md").read_text()
    assert [name for name in files if f"({name})" not in told] == []


def test_bases_are_pinned_and_known(image: tuple[str, list[str]]) -> None:
    stages = _of(image[1], "FROM")
    assert stages
    assert {stage.split()[0] for stage in stages} <= BASES
    assert all("latest" not in stage for stage in stages)


def test_nobody_is_root(image: tuple[str, list[str]]) -> None:
    assert _of(image[1], "USER") == ["10001"]
    after = image[1][image[1].index("USER 10001") :]
    assert not _of(after, "RUN")


def test_the_sources_stay_in_the_stage_that_makes_the_wheel(image: tuple[str, list[str]]) -> None:
    final = image[1][[line.startswith("FROM ") for line in image[1]].index(True, 1) :]
    assert "COPY . ." not in final
    assert not _of(image[1], "ADD")


def test_torch_is_in_the_eager_image_alone(image: tuple[str, list[str]]) -> None:
    heavy = [line for line in image[1] if HEAVY.search(line)]
    assert bool(heavy) == (image[0] == "jetpack6-eager")


def test_packages_of_pip_are_pinned_and_leave_no_cache(image: tuple[str, list[str]]) -> None:
    commands = [part for line in _of(image[1], "RUN") for part in re.split(r"&&|\|\|", line) if "pip install" in part]
    assert commands
    for command in commands:
        assert "--no-cache-dir" in command
        options = re.sub(r"--index-url \S+", "", command.partition("pip install")[2])
        packages = [word for word in options.split() if not word.startswith(("--", "/wheels/"))]
        # JetPack 6's own NumPy is there already; it only must not be replaced.
        assert [word for word in packages if "==" not in word and word != '"numpy<2"'] == []


def test_lists_of_apt_are_not_kept(image: tuple[str, list[str]]) -> None:
    for line in _of(image[1], "RUN"):
        if "apt-get" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line


def test_the_boards_tensorrt_is_not_pips(image: tuple[str, list[str]]) -> None:
    text = "\n".join(image[1])
    assert ("tensorrt-cu" in text) == (image[0] == "tensorrt-x86")
    assert ("opencv-python" in text) == (image[0] in {"cpu", "tensorrt-x86"})  # pip's has no GStreamer


def test_the_compose_example_names_what_is_there(tree: Path) -> None:
    text = (tree / "docker" / "compose.yaml").read_text()
    for name in re.findall(r"dockerfile: (\S+)", text):
        assert (tree / name).is_file()
    for name in re.findall(r"/examples/(\w+\.py)", text):
        assert (tree / "examples" / name).is_file()
    for mount in ("/dev/video0", "/tmp/argus_socket"):  # noqa: S108 - the daemon's own place
        assert mount in text
    assert "privileged" not in text


@pytest.mark.parametrize(("name", "extra"), [("jetpack6", "jetson"), ("jetpack7", "jetson7")])
def test_an_image_has_the_cuda_python_of_its_jetpacks_extra(
    tree: Path, pyproject: dict[str, Any], name: str, extra: str
) -> None:
    (pin,) = re.findall(r"cuda-python==([\w.]+)", (tree / "docker" / f"{name}.Dockerfile").read_text())
    (wanted,) = (one for one in EXTRAS[extra] if one.module == "cuda")
    assert wanted.allows(pin)
    declared = pyproject["project"]["optional-dependencies"][extra]
    assert f"cuda-python{wanted.limits}" in declared
    assert "numpy<2" in declared


def _runs_on_a_board(tree: Path) -> list[str]:
    told = re.sub(r"\\\n\s*", " ", (tree / "docker" / "README.md").read_text())
    return [
        line for line in told.splitlines() if "--runtime nvidia" in line and " amfac-" in line.partition("jetpack6")[2]
    ]


def test_the_command_for_table_4_is_one(tree: Path) -> None:
    (run,) = (run for run in _runs_on_a_board(tree) if "amfac-bench" in run)
    words = bench._parser().parse_args(["run", *run.partition("amfac-bench ")[2].split()])
    assert (words.eager, words.device, words.against, words.precision) == (True, "cuda", "table4", None)
    assert str(words.files[0]) in recipe_names()


def test_a_board_is_known_inside(tree: Path) -> None:
    compose = (tree / "docker" / "compose.yaml").read_text()
    (service,) = (part for part in re.split(r"^  (?=\S)", compose, flags=re.MULTILINE) if "runtime: nvidia" in part)
    runs = _runs_on_a_board(tree)
    assert len(runs) == 2
    # Where `amfac_edge.machine.jetson` reads L4T and the power mode.
    for path in ("/etc/nv_tegra_release", "/etc/nvpmodel.conf", "/var/lib/nvpmodel"):
        assert f"- {path}:{path}:ro\n" in service
        assert [run for run in runs if f" -v {path}:{path}:ro " not in run] == []
    assert "AMFAC_BOARD" in service
    assert [run for run in runs if " -e AMFAC_BOARD=" not in run] == []
