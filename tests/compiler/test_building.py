"""The one path of a build, through stand-ins of TensorRT 8.6 and 10.3: what each is told, and what a None becomes."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.compiler.bindings import has_builder, load_bindings
from amfac_edge.compiler.building import BuildRequest, build_in_child
from amfac_edge.errors import AmfacError, MachineError, MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from types import ModuleType

REQUEST = BuildRequest(
    TENSORRT,
    ("8.7",),
    "amfac/1 tiny 0123456789abcdef",
    {"crops": ((1, 8, 6, 3), (2, 8, 6, 3), (4, 8, 6, 3))},
    half=True,
)


@pytest.fixture(scope="module")
def fakes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_tensorrt", Path(__file__).with_name("fake_tensorrt.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built_by(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    onnx = tmp_path / "tiny.onnx"
    onnx.write_bytes(b"a graph")
    request = dataclasses.asdict(dataclasses.replace(REQUEST, **changes))
    return build_in_child(str(onnx), str(tmp_path / "plan"), request)


def test_tensorrt_8_6_is_told_of_half_precision_and_explicit_batch(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("8.6.1")
    answer = built_by(module, tmp_path, monkeypatch, workspace_mib=3)
    told = module.record.told
    assert told["network_flags"] == 1
    assert told["flags"] == ["FP16"]
    assert told["WORKSPACE"] == 3 << 20
    assert told["shapes"] == {"crops": ((1, 8, 6, 3), (2, 8, 6, 3), (4, 8, 6, 3))}
    assert told["content"] == b"a graph"
    assert told["network"].name == REQUEST.engine_name
    assert (tmp_path / "plan").read_bytes() == b"ftrt plan"
    assert answer == {"version": "8.6.1", "strongly_typed": False, "layers": 5, "notes": []}


def test_a_later_one_reads_precision_in_the_graph(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("10.3.0")
    answer = built_by(module, tmp_path, monkeypatch, profile={})
    assert module.record.told["network_flags"] == 2
    assert module.record.told["flags"] == []
    assert "profile" not in module.record.told
    assert answer["strongly_typed"] is True


def test_nothing_built_is_the_logs_reason(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = ("[optimizer.cpp] Something that nobody has seen before happened",)
    with pytest.raises(AmfacError, match="Something that nobody has seen before"):
        built_by(fakes.bindings("10.3.0", built=None, says=says), tmp_path, monkeypatch)
    assert not (tmp_path / "plan").exists()


def test_a_graph_without_outputs_is_refused(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fakes.bindings("10.3.0")
    create = module.Builder.create_network

    def empty(builder: Any, flags: int) -> Any:  # noqa: ANN401
        network = create(builder, flags)
        network.num_outputs = 0
        return network

    monkeypatch.setattr(module.Builder, "create_network", empty)
    with pytest.raises(
        ModelFileError, match=r"tiny\.onnx: the parser of tensorrt 10\.3\.0 refuses it: it has no outputs"
    ):
        built_by(module, tmp_path, monkeypatch)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="tensorrt-rtx"):
        load_bindings(RTX)
    with pytest.raises(MachineError, match="needs TensorRT's Python bindings") as raised:
        load_bindings(TENSORRT)
    assert "python3-libnvinfer" in raised.value.cure


def test_a_builder_is_looked_for_without_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorrt" else object())
    assert not has_builder(TENSORRT)
    assert has_builder(RTX)
