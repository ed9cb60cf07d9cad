"""From a checkpoint to a plan on a board, all of it but the board: TensorRT 10.3 and trtexec are stand-ins there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import BatchRange, read_manifest
from amfac_edge.declared.target import load_target
from amfac_edge.pipeline import ExportRequest, export_artefacts, export_detector, read_detector, read_source
from amfac_edge.pipeline.engines import Order, build_engine

if TYPE_CHECKING:
    from types import ModuleType

TESTS = Path(__file__).parents[1]
TENSORRT = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("fake_tensorrt", {str(TESTS / "compiler" / "fake_tensorrt.py")!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
module = fakes.bindings("10.3.0")
def build(self, network, config):
    return b"ftrt".ljust(64, b"\\0") + module.record.told["content"]
module.Builder.build_serialized_network = build
globals().update(vars(module))
"""


@pytest.fixture
def board(tmp_path: Path) -> dict[str, str]:
    """The environment of a board that has TensorRT 10.3 and trtexec."""
    modules, programs = tmp_path / "modules", tmp_path / "bin"
    modules.mkdir()
    programs.mkdir()
    (modules / "tensorrt.py").write_text(TENSORRT)
    trtexec = programs / "trtexec"
    trtexec.write_text(f'#!/bin/sh\nexec {sys.executable} {TESTS / "sessions" / "pretend_trtexec.py"} "$@"\n')
    trtexec.chmod(0o755)
    return os.environ | {
        "PYTHONPATH": str(modules),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "AMFAC_BOARD": "orin-nano-8",
        "PRETEND_MS": "fp16=0.9",
    }


def test_a_kit_from_a_checkpoint_builds_tries_and_tells(
    tiny_checkpoint: Path, tmp_path: Path, board: dict[str, str]
) -> None:
    source, nano = read_source(tiny_checkpoint), load_target("orin-nano")
    (exported,) = export_artefacts(source, [nano], ExportRequest(out=tmp_path), stage=lambda _: None)
    assert set(exported.beside) == {"trial.npz", "flag-form.onnx", "flag-form.onnx.json"}
    engine = build_engine(exported.path, nano, Order(beside=exported.beside))
    assert engine.kit is not None
    with tarfile.open(engine.kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "tiny.orin-nano-8.fp16"
    done = subprocess.run(
        [sys.executable, "build.py", "--no-memory-check"],
        cwd=folder, env=board, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(Path(done.stdout.strip()))
    assert manifest.plan is not None
    assert manifest.digests["checkpoint"] == source.digests["checkpoint"]
    assert manifest.digests["onnx"] == exported.manifest.digests["artefact"]
    assert manifest.plan.settings["trial"]["tried"] is True
    assert manifest.plan.settings["trial"]["compute_ms"] == 0.9
    assert manifest.plan.layer_precision == {"convolution": "float16", "matrix_multiply": "float32"}
    assert "tried here by trtexec: 0 of" in done.stderr
    # A board where the plan computes something else gets none.
    again = subprocess.run(
        [sys.executable, "build.py", "--no-memory-check", "--out", str(tmp_path / "wrong")],
        cwd=folder, env=board | {"PRETEND_WRONG": "fp16"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert "doesn't find the network's joints" in again.stderr
    assert not (tmp_path / "wrong").exists()


def test_a_detectors_kit_builds_tries_and_tells(
    made_detectors: ModuleType, tmp_path: Path, board: dict[str, str]
) -> None:
    path = made_detectors.yolox(tmp_path / "made.onnx", form="decoded")
    nano, request = load_target("orin-nano"), ExportRequest(out=tmp_path, batch=BatchRange(1, 1, 1))
    (exported,) = export_detector(read_detector(path), [nano], request, stage=lambda _: None)
    assert set(exported.beside) == {"trial.npz", "flag-form.onnx", "flag-form.onnx.json"}
    engine = build_engine(exported.path, nano, Order(beside=exported.beside))
    assert engine.kit is not None
    with tarfile.open(engine.kit) as archive:
        archive.extractall(tmp_path / "board", filter="data")
    folder = tmp_path / "board" / "made.orin-nano-8.fp16"
    words = [sys.executable, "build.py", "--no-memory-check"]
    done = subprocess.run(words, cwd=folder, env=board, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(Path(done.stdout.strip()))
    assert manifest.plan is not None
    assert manifest.model == exported.manifest.model
    assert manifest.plan.settings["trial"]["tried"] is True
    # Four pictures of 126 candidates each.
    assert "tried here by trtexec: 0 of 504 boxes moved" in done.stderr
    wrong = subprocess.run(
        [*words, "--out", str(tmp_path / "wrong")],
        cwd=folder, env=board | {"PRETEND_WRONG": "fp16"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert wrong.returncode == 1
    assert "doesn't find the network's boxes" in wrong.stderr
