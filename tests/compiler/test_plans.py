"""Real plans by TensorRT-RTX, which builds without a GPU: what they are, both files or none, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amfac_edge.artefact import RTX, TENSORRT, manifest_path, read_manifest, read_plan_header
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.compiler import BuildOptions, attempts, has_builder, plan_from_artefact, plan_name
from amfac_edge.compiler.building import BuildRequest
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError, InputError, MachineError, ModelFileError
from amfac_edge.files import sha256_of

if TYPE_CHECKING:
    from types import ModuleType

    from amfac_edge.compiler import BuildProgress

CARDS = [load_target("rtx-3060"), load_target("rtx-4090")]
needs_rtx = pytest.mark.skipif(not has_builder(RTX), reason="TensorRT-RTX is not installed: make rtx")


@pytest.fixture
def artefact(tmp_path: Path, markers: ModuleType) -> Path:
    path: Path = markers.write_artefact(tmp_path / "marker.rtx-3060.fp32.onnx", batch="1-4")
    return path


def doubling_graph(times: int) -> bytes:
    names = ["k", *(f"d{index}" for index in range(times))]
    nodes = [helper.make_node("Concat", [one, one], [other], axis=0) for one, other in itertools.pairwise(names)]
    nodes.append(helper.make_node("ReduceSum", [names[-1]], ["sum"], keepdims=1))
    nodes.append(helper.make_node("Add", ["x", "sum"], ["y"]))
    return graph_bytes(nodes, "x", "y", [numpy_helper.from_array(np.ones(1, np.float32), "k")])


def chain_graph(length: int) -> bytes:
    nodes = [helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(length)]
    return graph_bytes(nodes, "t0", f"t{length}", [])


def graph_bytes(nodes: list[onnx.NodeProto], into: str, out: str, constants: list[onnx.TensorProto]) -> bytes:
    inputs = [helper.make_tensor_value_info(into, TensorProto.FLOAT, [4])]
    outputs = [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


@needs_rtx
def test_a_plan_for_both_cards(artefact: Path, tmp_path: Path) -> None:
    built = plan_from_artefact(artefact, CARDS, tmp_path / "out")
    assert built.path.name == "marker.rtx-3060+rtx-4090.fp32.rtx.plan"
    header = read_plan_header(built.path)
    assert (header.flavour, header.compute_capabilities, header.fault) == (RTX, ("8.6", "8.9"), None)
    source, manifest = read_manifest(artefact), read_manifest(built.path)
    assert header.engine_name == f"amfac/1 marker-64x48 {source.digests['artefact'][:16]}"
    assert manifest.digests["onnx"] == source.digests["artefact"]
    assert manifest.digests["artefact"] == sha256_of(built.path)
    plan = manifest.plan
    assert plan is not None
    assert (plan.flavour, plan.compute_capabilities) == (RTX, ("8.6", "8.9"))
    assert plan.tensorrt_version == header.version
    assert plan.settings["strongly_typed"] is True
    assert plan.settings["parsed_layers"] > 0
    # Built without a GPU: nothing is claimed of one.
    assert (plan.gpu_name, plan.sm_count, plan.driver) == (None, None, None)
    assert {name: shapes.maximum for name, shapes in plan.profile.items()} == {"crops": (4, 64, 48, 3)}


@needs_rtx
def test_a_fixed_batch_needs_no_profile(tmp_path: Path, markers: ModuleType) -> None:
    artefact = markers.write_artefact(tmp_path / "marker.rtx-4090.fp32.onnx", batch="2")
    built = plan_from_artefact(artefact, CARDS[1:], tmp_path)
    assert built.path.name == "marker.rtx-4090.fp32.rtx.plan"
    assert built.manifest.plan is not None
    assert built.manifest.plan.profile == {}


@needs_rtx
def test_a_graph_that_the_parser_refuses_leaves_the_old_pair(artefact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    built = plan_from_artefact(artefact, CARDS[:1], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    # The manifest follows, so that the digest is right and the parser is what refuses.
    artefact.write_bytes(artefact.read_bytes()[:-200])
    beside = json.loads(manifest_path(artefact).read_text())
    beside["digests"]["artefact"] = sha256_of(artefact)
    manifest_path(artefact).write_text(json.dumps(beside))
    with pytest.raises(AmfacError):
        plan_from_artefact(artefact, CARDS[:1], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert built.path.name in before


def test_an_artefact_that_was_replaced_is_not_built(artefact: Path, tmp_path: Path) -> None:
    artefact.write_bytes(artefact.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="its manifest says"):
        plan_from_artefact(artefact, CARDS[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_builder_that_takes_too_long_is_ended(artefact: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"built no plan: no end after 0\.01 s\n.*--build-timeout"):
        plan_from_artefact(artefact, CARDS[:1], tmp_path / "out", options=BuildOptions(timeout_s=0.01))
    assert list((tmp_path / "out").iterdir()) == []


@needs_rtx
def test_a_builder_that_wants_too_much_memory_is_ended(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Short of memory the real builder says so, aborts, or waits for itself.
    monkeypatch.setattr(attempts, "_STALL_S", 4.0)
    with pytest.raises(MachineError, match=r"for want of memory.*allowed to allocate 130 MiB") as raised:
        plan_from_artefact(artefact, CARDS[:1], tmp_path / "out", options=BuildOptions(memory_mib=130))
    assert "--memory-limit" in raised.value.cure
    assert list((tmp_path / "out").iterdir()) == []


@needs_rtx
def test_a_hostile_graph_does_not_eat_the_machine(tmp_path: Path) -> None:
    """Each Concat doubles what the one before gave, of constants that the builder folds: 16 GiB in the end."""
    path = tmp_path / "doubling.onnx"
    path.write_bytes(doubling_graph(34))
    request = dataclasses.asdict(BuildRequest(RTX, ("8.6",), "amfac/1 doubling", {}))
    answer = call_in_child(
        "amfac_edge.compiler.building:build_in_child",
        timeout_s=60.0,
        memory_bytes=1 << 30,
        onnx=str(path),
        plan=str(tmp_path / "plan"),
        request=request,
    )
    assert answer.keys() == {"short_of_memory"}
    assert not (tmp_path / "plan").exists()


@pytest.mark.slow
@needs_rtx
def test_a_chain_that_crashes_the_parser_crashes_the_child_alone(tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    path.write_bytes(chain_graph(4000))
    request = dataclasses.asdict(BuildRequest(RTX, ("8.6",), "amfac/1 chain", {}))
    with pytest.raises((ChildFailure, AmfacError)):
        call_in_child(
            "amfac_edge.compiler.building:build_in_child",
            timeout_s=120.0,
            memory_bytes=2 << 30,
            onnx=str(path),
            plan=str(tmp_path / "plan"),
            request=request,
        )


@needs_rtx
def test_the_real_monitor_is_heard_and_can_end_a_build(artefact: Path, tmp_path: Path) -> None:
    said: list[BuildProgress] = []
    options = BuildOptions(optimization_level=5)
    built = plan_from_artefact(artefact, CARDS[:1], tmp_path / "out", options=options, progress=said.append)
    assert [report.stage for report in said][-1] == "writing"
    assert "Building engine" in {report.phase for report in said}
    assert any("optimisation levels" in note for note in built.notes)
    assert built.manifest.plan is not None
    assert built.manifest.plan.settings["layer_information"].startswith("not read: ")
    assert "timing_cache" not in built.manifest.digests

    def interrupted(report: BuildProgress) -> None:
        if report.stage == "building":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_from_artefact(artefact, CARDS[:1], tmp_path / "other", progress=interrupted)
    assert list((tmp_path / "other").iterdir()) == []


def test_who_can_be_served(artefact: Path, tmp_path: Path) -> None:
    nano = load_target("orin-nano")
    with pytest.raises(InputError, match=r"TensorRT-RTX builds no plan for .*Orin Nano.*: it serves RTX cards"):
        plan_from_artefact(artefact, [CARDS[0], nano], tmp_path)
    with pytest.raises(InputError, match="one TensorRT plan serves one target"):
        plan_from_artefact(artefact, CARDS, tmp_path, flavour=TENSORRT)


def test_names_tell_the_flavour() -> None:
    artefact = Path("model.rtx-3060.fp16.b1-8.onnx")
    assert plan_name(artefact, RTX, CARDS) == "model.rtx-3060+rtx-4090.fp16.b1-8.rtx.plan"
    assert plan_name(Path("model.rtx-4090.onnx"), RTX, CARDS) == "model.rtx-3060+rtx-4090.rtx.plan"
    assert plan_name(artefact, TENSORRT, CARDS[:1]) == "model.rtx-3060.fp16.b1-8.plan"
