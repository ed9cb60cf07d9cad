"""`amfac-run` of an ONNX where its plan belongs: built once, kept, run; over stand-ins for board and TensorRT."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from amfac_edge.artefact import RTX, TENSORRT, Host, HostGpu, manifest_path, read_manifest
from amfac_edge.cli.run import main
from amfac_edge.compiler import first_run, forms, plans
from amfac_edge.machine.processor import MemoryNow
from amfac_edge.machine.this_machine import read_machine
from amfac_edge.serving.kits import KIT_FILE, KIT_SCHEMA
from amfac_edge.sessions import tensorrt_session

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from tests.sessions.conftest import Board

FAKES = Path(__file__).parents[1] / "compiler" / "fake_tensorrt.py"
BUILDER = f"""
import importlib.util, json, struct
spec = importlib.util.spec_from_file_location("fake_tensorrt", {str(FAKES)!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
module = fakes.bindings("10.16.2")
def build(self, network, config):
    told = module.record.told
    profile = {{name: list(each) for name, each in told["shapes"].items()}}
    facts = {{"version": "10.16.2", "profile": profile, "scratch": 4096}}
    text = json.dumps(facts).encode()
    head = b"ftrt" + bytes(28) + network.name.encode()
    return head + b"FAKE PLAN: " + struct.pack("<I", len(text)) + text + told["content"]
module.Builder.build_serialized_network = build
globals().update(vars(module))
"""
NANO = Host("linux", "aarch64", "orin-nano-8", (HostGpu("8.7"),), {TENSORRT: "10.16.2"}, l4t="39.2.0", power_mode="15W")


@pytest.fixture
def crop(markers: ModuleType) -> NDArray[np.uint8]:
    painted: NDArray[np.uint8] = markers.painted_crop(markers.spread_places(3))
    return painted


@pytest.fixture
def engine(markers: ModuleType, tmp_path: Path) -> Path:
    """An artefact for the board, which lies where nothing can be written beside it."""
    path: Path = markers.write_artefact(tmp_path / "marker.orin-nano-8.fp32.onnx", batch="1-2")
    manifest_path(path).write_bytes(dataclasses.replace(read_manifest(path), target="orin-nano-8").as_bytes())
    return path


@pytest.fixture
def picture(tmp_path: Path, crop: NDArray[np.uint8]) -> Path:
    cv2.imwrite(str(tmp_path / "139.png"), crop)
    return tmp_path / "139.png"


def is_here(board: Board, monkeypatch: pytest.MonkeyPatch, host: Host = NANO) -> None:
    """The machine is `host`, with a builder for the child process and a runtime in this one."""
    modules = board.folder / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "tensorrt.py").write_text(BUILDER)
    monkeypatch.syspath_prepend(modules)
    board.install_tensorrt("10.16.2")
    machine = dataclasses.replace(read_machine(), memory=MemoryNow(7619, 6500, 4000))
    monkeypatch.setattr(plans, "read_machine", lambda: machine)
    monkeypatch.setattr(plans, "host_of", lambda _machine, _packages: host)
    monkeypatch.setattr("platform.machine", lambda: host.architecture)
    monkeypatch.setattr(forms, "find_trtexec", lambda: None)
    for room in (first_run, forms, tensorrt_session):
        monkeypatch.setattr(room, "this_host", lambda: host)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[list[float]], str]:
    """The exit code, the joints of the one person, and what was said."""
    code = main([*map(str, words), "--json"])
    out, err = capsys.readouterr()
    line = json.loads(out.splitlines()[0]) if out else {}
    return code, line["people"][0]["keypoints"] if line.get("people") else [], err


def kept(board: Board) -> list[Path]:
    return sorted(board.folder.glob("cache/amfac-edge/plans/*/*.plan"))


def test_the_first_run_builds_and_the_next_ones_do_not(
    board: Board, engine: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--engine", engine, "--source", picture]
    _, by_cpu, said = run(capsys, *words)
    assert "not as a TensorRT plan: it is for " in said
    assert "no NVIDIA GPU answers here" in said
    assert not kept(board)
    is_here(board, monkeypatch)
    code, by_plan, said = run(capsys, *words)
    assert code == 0, said
    (plan,) = kept(board)
    assert "the first run here builds the plan" in said
    assert f"runs as {plan}" in said
    assert by_plan == by_cpu
    assert read_manifest(plan).digests["onnx"] == read_manifest(engine).digests["artefact"]
    before = plan.stat().st_mtime_ns
    _, again, said = run(capsys, *words)
    assert again == by_cpu
    assert "which was built before" in said
    assert "builds the plan" not in said
    assert [path.stat().st_mtime_ns for path in kept(board)] == [before]


@pytest.mark.parametrize("young", [True, False])
def test_one_form_of_two_is_said_to_be_one(
    board: Board,
    engine: Path,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    young: bool,
) -> None:
    manifest_path(engine).write_bytes(dataclasses.replace(read_manifest(engine), precision="fp16").as_bytes())
    is_here(board, monkeypatch)
    monkeypatch.setattr(first_run, "takes_both_forms", lambda version: young and version == "10.16.2")
    code, _, said = run(capsys, "--engine", engine, "--source", picture)
    assert code == 0, said
    assert ("takes FP16 in two forms, and this is the typed one, untried" in said) is young


@pytest.mark.parametrize("change", ["another power mode", "another network", "a damaged plan", "another TensorRT"])
def test_what_was_kept_for_something_else_is_not_taken(
    board: Board,
    engine: Path,
    picture: Path,
    change: str,
    markers: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_here(board, monkeypatch)
    words = ["--engine", engine, "--source", picture]
    assert run(capsys, *words)[0] == 0
    (plan,) = kept(board)
    if change == "another power mode":
        is_here(board, monkeypatch, dataclasses.replace(NANO, power_mode="MAXN_SUPER"))
    elif change == "another network":
        markers.write_artefact(engine, batch="1-2", trained=True)
        manifest_path(engine).write_bytes(dataclasses.replace(read_manifest(engine), target="orin-nano-8").as_bytes())
    elif change == "a damaged plan":
        plan.write_bytes(plan.read_bytes()[:-1] + b"\0")
    else:
        described = read_manifest(plan)
        assert described.plan is not None
        other = dataclasses.replace(described, plan=dataclasses.replace(described.plan, tensorrt_version="10.3.0"))
        manifest_path(plan).write_bytes(other.as_bytes())
    code, _, said = run(capsys, *words)
    assert code == 0, said
    assert "the first run here builds the plan" in said


def test_a_plan_beside_it_is_taken(
    board: Board, engine: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_here(board, monkeypatch)
    assert run(capsys, "--engine", engine, "--source", picture)[0] == 0
    (plan,) = kept(board)
    for path in (manifest_path(plan), plan):
        path.replace(engine.with_name(path.name))
    code, _, said = run(capsys, "--engine", engine, "--source", picture)
    assert code == 0, said
    assert f"runs as {engine.with_name(plan.name)}, which was built before" in said
    assert not kept(board)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (dataclasses.replace(NANO, target="orin-nx-16"), "it was exported for orin-nano-8, and this is orin-nx-16"),
        (dataclasses.replace(NANO, target=None), "a board or card that no target is declared for"),
        (Host("linux", "x86_64", "cpu"), "Orin Nano 8 GB, and no NVIDIA GPU answers here"),
    ],
)
def test_where_no_plan_can_be_onnx_runtime_runs_it(
    board: Board,
    engine: Path,
    picture: Path,
    host: Host,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_here(board, monkeypatch, host)
    code, joints, said = run(capsys, "--engine", engine, "--source", picture)
    assert (code, len(joints)) == (0, 17)
    assert reason in said
    assert "by ONNX Runtime on the CPU, not as a TensorRT plan" in said
    assert not kept(board)


@pytest.mark.parametrize("lacking", ["tensorrt", "cuda"])
def test_a_board_that_lacks_something_says_what(
    board: Board,
    engine: Path,
    picture: Path,
    lacking: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_here(board, monkeypatch)
    if lacking == "cuda":
        board.install_cuda("pycuda")
        board.install({"pycuda": None, "pycuda.driver": None})
    else:
        monkeypatch.setattr(first_run, "has_builder", lambda _: False)
    code, _, said = run(capsys, "--engine", engine, "--source", picture)
    assert code == 0
    assert {"tensorrt": "python3-libnvinfer", "cuda": 'pip install "amfac-edge[cuda]"'}[lacking] in said
    assert not kept(board)


@pytest.mark.parametrize("words", [["--provider", "cpu"], ["--threads", "1"]])
def test_who_asks_for_onnx_runtime_gets_it(
    board: Board,
    engine: Path,
    picture: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_here(board, monkeypatch)
    code, _, said = run(capsys, "--engine", engine, "--source", picture, *words)
    assert code == 0
    assert "plan" not in said
    assert not kept(board)


def test_a_build_that_fails_says_how_to_do_without(
    board: Board, engine: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_here(board, monkeypatch)
    short = dataclasses.replace(read_machine(), memory=MemoryNow(7619, 300, 0))
    monkeypatch.setattr(plans, "read_machine", lambda: short)
    code = main(["--engine", str(engine), "--source", str(picture)])
    said = capsys.readouterr().err
    assert code == 3
    assert "can't be swapped" in said
    assert "Without a plan, by ONNX Runtime: --provider cpu" in said
    assert not kept(board)


def test_a_kit_gives_what_it_was_made_with(
    board: Board, engine: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_here(board, monkeypatch)
    described = {"schema": KIT_SCHEMA, "artefact": engine.name, "target": "orin-nano-8", "version": "0.1.0"}
    facts = {"options": ["--workspace", "77"], "beside": {}, "sha256": read_manifest(engine).digests["artefact"]}
    (engine.parent / KIT_FILE).write_text(json.dumps(described | facts))
    code, _, said = run(capsys, "--engine", engine, "--source", picture)
    assert code == 0, said
    facts_of = read_manifest(kept(board)[0]).plan
    assert facts_of is not None
    assert facts_of.settings["workspace_mib"] == 77
    # Somebody else's file of that name is none of ours.
    (engine.parent / KIT_FILE).write_text('{"schema": "another"}')
    assert run(capsys, "--engine", engine, "--source", picture)[0] == 0


def test_a_card_without_tensorrt_proper_takes_tensorrt_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Host("linux", "x86_64", "rtx-4090", (HostGpu("8.9"),))
    for installed, flavour in (({TENSORRT, RTX}, TENSORRT), ({RTX}, RTX), (set[str](), TENSORRT)):
        monkeypatch.setattr(first_run, "has_builder", installed.__contains__)
        assert first_run._flavour(card) == flavour
    assert first_run._flavour(NANO) == TENSORRT
