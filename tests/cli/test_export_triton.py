"""amfac-export --triton as its user meets it."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import read_manifest
from amfac_edge.cli.export import main
from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    fresh_checkpoint(tiny_recipe, 0, path)
    return path


def test_a_repository_is_written_for_a_cpu_and_a_card(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repository"
    words = [str(checkpoint), "--target", "cpu,rtx-3060", "--out", str(tmp_path / "out"), "--json"]
    assert main([*words, "--triton", str(repository)]) == 0
    out, err = capsys.readouterr()
    cpu, card = (made["triton"] for made in json.loads(out)["artefacts"])
    assert [row["lacks_plan"] for row in cpu] == [False] * 5
    assert [row["lacks_plan"] for row in card] == [True, False, False, False, False]
    assert read_manifest(repository / "tiny.cpu.fp32" / "1" / "model.onnx").target == "cpu"
    place = repository / "tiny.rtx-3060.fp16" / "1"
    assert f"the plan is missing in {place}" in err
    assert "tar xzf tiny.rtx-3060.fp16.kit.tar.gz && python3 tiny.rtx-3060.fp16.kit/build.py" not in err
    assert "python3 tiny.rtx-3060.fp16/build.py" in (place / "NEXT.txt").read_text()
    assert f"tritonserver --model-repository={repository}\n" in err
    assert "--load-model=tiny.cpu.fp32_python" in err


def test_commands_can_be_typed_though_a_folder_has_a_space(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, repository = tmp_path / "sp ace", tmp_path / "a repository"
    words = [str(checkpoint), "--target", "cpu,orin-nano", "--out", str(out), "--triton", str(repository)]
    assert main(words) == 0
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith(("amfac-", "tritonserver", "tar "))]
    assert ["amfac-bench", str(out / "tiny.cpu.fp32.onnx")] in commands
    assert any(f"--model-repository={repository}" in command for command in commands)


def test_frames_are_cut_by_the_graph_itself(checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    words = [str(checkpoint), "--target", "cpu", "--out", str(tmp_path / "out"), "--input", "frame"]
    assert main([*words, "--triton", str(repository)]) == 0
    assert sorted(path.name for path in repository.iterdir()) == ["tiny.cpu.fp32.frame", "tiny.cpu.fp32.frame_python"]
    config = (repository / "tiny.cpu.fp32.frame" / "config.pbtxt").read_text()
    assert '{ name: "frame", data_type: TYPE_UINT8, dims: [ -1, -1, 3 ] }' in config


def test_triton_is_told_of_a_version_compatible_plan(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repository"
    words = [str(checkpoint), "--target", "orin-nano", "--out", str(tmp_path / "out"), "--triton", str(repository)]
    assert main([*words, "--version-compatible"]) == 0
    told = capsys.readouterr()
    served = f"tritonserver --model-repository={repository} --backend-config=tensorrt,version-compatible=true\n"
    assert served in told.out + told.err


def test_what_can_be_no_repository_is_refused_before_any_work(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    words = [str(checkpoint), "--target", "cpu", "--out", str(tmp_path)]
    assert main([*words, "--triton", str(tmp_path / "file")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert main([*words, "--triton", str(tmp_path)]) == 2
    assert "is the folder of the artefacts too" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
