"""amfac-export as its user meets it: what it prints, what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from amfac_edge.cli.export import main
from amfac_edge.networks import load_checkpoint
from amfac_edge.networks.fresh import fresh_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def checkpoint(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    fresh_checkpoint(tiny_recipe, 0, path)
    return path


def refusal(capsys: pytest.CaptureFixture[str], *words: object, code: int = 2) -> str:
    assert main([str(word) for word in words]) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_json_on_stdout_and_the_rest_on_stderr(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8))
    words = [str(checkpoint), "--target", "cpu,rtx-3060", "--out", str(tmp_path), "--json"]
    assert main([*words, "--parity-images", str(pictures)]) == 0
    out, err = capsys.readouterr()
    artefacts = json.loads(out)["artefacts"]
    assert [made["target"] for made in artefacts] == ["cpu", "rtx-3060"]
    assert all((tmp_path / f"tiny.{made['target']}.{made['precision']}.onnx.json").exists() for made in artefacts)
    assert artefacts[0]["parity"]["crops"] == 9
    assert "[1/10] reading" in err
    assert "[9/10] rtx-3060: writing" in err
    assert "[10/10] rtx-3060: the engine" in err
    assert artefacts[1]["kit"] == str(tmp_path / "tiny.rtx-3060.fp16.kit.tar.gz")
    assert "kit" not in artefacts[0]
    assert f"amfac-run --engine {tmp_path / 'tiny.cpu.fp32.onnx'}" in err
    told = (
        "--stronglyTyped --noTF32 --memPoolSize=workspace:2048 --minShapes=crops:1x64x48x3 --optShapes=crops:4x64x48x3"
    )
    assert told in err
    assert "nobody has seen it run" in err
    assert "untrained weights" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "orin-nanoo"], r'unknown target "orin-nanoo"\n  did you mean orin-nano'),
        (["--target", "orin-nx"], r"orin-nx-8, orin-nx-16"),
        (["--target", "cpu", "--batch", "0"], r'batch "0" is less than 1'),
        (["--target", "cpu", "--batch", "4-1"], r"batch 4:4:1 is not|batch 4:1:1 is not"),
        (["--target", "cpu", "--batch", "many"], r'batch "many" is not a batch size'),
        (["--target", "cpu", "--precision", "int8"], r"INT8 is calibrated with pictures of people"),
        (["--target", "orin-nano,cpu", "--precision", "fp16"], r"cpu: ONNX Runtime computes float16 in float32"),
        (["--target", "cpu", "--recipe", "amfacpose-r34"], r'unknown recipe "amfacpose-r34"\n  did you mean'),
        (["--target", "cpu,rtx-4090", "--one-plan"], r"--target cpu,rtx-4090 names fewer than two"),
        (["--target", "cpu", "--calib-data", "pics"], r"--calib-data pics is for INT8, and --precision is not given"),
        (
            ["--target", "cpu", "--keep", "a", "--keep", "b", "--no-calib-cache"],
            r"--no-calib-cache --keep a --keep b is",
        ),
        (["--target", "orin-nano", "--precision", "fp16", "--max-ap-drop", "1"], r"--max-ap-drop 1.0 is .* fp16"),
        (["--target", "cpu", "--precision", "auto", "--calib-method", "minmax"], r"minmax: no set was named"),
        (["--target", "cpu", "--precision", "int8", "--max-shift-px", "2"], r"--max-shift-px 2.0: no set was named"),
        (["--target", "cpu", "--workspace", "64", "--no-trial"], r"--workspace 64 --no-trial is of a TensorRT plan"),
        (["--target", "cpu", "--build-timeout", "9"], r"--target cpu has none\n  Leave it out"),
        (["--target", "orin-nano", "--remote-python", "py"], r"--remote-python py is of the board of --on"),
        (["--target", "cpu", "--targt", "x"], r"--targt is no option; did you mean --target"),
    ],
)
def test_wrong_words(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    error = refusal(capsys, checkpoint, *words, "--out", tmp_path)
    assert re.search(message, error), error
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_fits_no_other_recipe_names_the_one_that_fits(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(capsys, checkpoint, "--target", "cpu", "--recipe", "amfacpose-r18-256x256")
    assert "amfacpose-r18-256x256" in error
    assert "stem.0.0.conv.weight (8, 5, 3, 3), expected (32, 5, 3, 3)" in error


def test_hostile_files_are_one_sentence_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    bad = {
        name: tmp_path / name for name in ("none.pth", "empty.pth", "noise.pth", "code.pth", "empty.onnx", "noise.onnx")
    }
    for name in ("empty.pth", "empty.onnx"):
        bad[name].write_bytes(b"")
    for name in ("noise.pth", "noise.onnx"):
        bad[name].write_bytes(np.random.default_rng(0).bytes(5000))
    torch.save({"state_dict": Payload()}, bad["code.pth"])
    for path in bad.values():
        error = refusal(capsys, path, "--target", "cpu", "--out", tmp_path / "out")
        assert path.name in error
        assert len(error.splitlines()) <= 6
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out").exists()


def test_a_long_chain_ends_in_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(4000)]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "chain", [value("t0", TensorProto.FLOAT, [1])], [value("t4000", TensorProto.FLOAT, [1])]
    )
    path = tmp_path / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10), path)
    assert "chain.onnx" in refusal(capsys, path, "--target", "cpu", "--out", tmp_path)


def test_nan_weights_are_named(
    checkpoint: Path, tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_checkpoint(checkpoint).network.state_dict()
    name = "stem.2.0.weight"
    weights[name].view(-1)[0] = float("nan")
    bad = tmp_path / "nan.pth"
    torch.save({"state_dict": weights}, bad)
    error = refusal(capsys, bad, "--target", "cpu", "--recipe", tiny_recipe)
    assert name in error
    assert "NaN" in error or "nan" in error


def test_a_folder_that_cant_be_written(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    error = refusal(capsys, checkpoint, "--target", "cpu", "--out", blocked / "below")
    assert f"{blocked / 'below'}: can't be written" in error


def test_ctrl_c_leaves_the_old_artefact(checkpoint: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "amfac_edge.cli.export",
        str(checkpoint),
        "--target",
        "cpu",
        "--out",
        str(tmp_path),
    ]
    (tmp_path / "tiny.cpu.fp32.onnx").write_text("the old one")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[3/5]"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.cpu.fp32.onnx"]
    assert (tmp_path / "tiny.cpu.fp32.onnx").read_text() == "the old one"
