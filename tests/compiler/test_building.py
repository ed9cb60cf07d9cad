"""The one path of a build, through stand-ins of TensorRT 8.6 and 10.3: what each is told, and what a None becomes."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.compiler import progress
from amfac_edge.compiler.bindings import has_builder, load_bindings
from amfac_edge.compiler.building import BuildRequest, build_in_child
from amfac_edge.compiler.gpu_here import GpuHere
from amfac_edge.compiler.timing_cache import cache_file, keep_timing_cache
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


# As TensorRT-RTX 1.7's parser was seen to name what it makes of a Gemm and an argmax; 8.6 may write no metadata.
LAYERS = (
    ("CONVOLUTION", "FLOAT", "Conv_1", "[ONNX Layer: Conv_1]"),
    ("MATRIX_MULTIPLY", "FLOAT", "Gemm_4", "[ONNX Layer: Gemm_4]"),
    ("SHUFFLE", "FLOAT", "ONNXTRT_Broadcast_47", ""),
    ("ELEMENTWISE", "FLOAT", "Gemm_4_48", "[ONNX Layer: Gemm_4]"),
    ("ELEMENTWISE", "FLOAT", "Gemm_40", "[ONNX Layer: Gemm_40]"),
    ("TOPK", "FLOAT INT32", "bins", "[ONNX Layer: bins]"),
    ("ACTIVATION", "FLOAT", "without", ""),
)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has."""
    monkeypatch.setattr("amfac_edge.compiler.building.gpu_here", lambda: None)


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
    assert told["cleared"] == ["TF32"]
    assert told["WORKSPACE"] == 3 << 20
    assert told["shapes"] == {"crops": ((1, 8, 6, 3), (2, 8, 6, 3), (4, 8, 6, 3))}
    assert told["previews"] == {"PROFILE_SHARING_0806": True}
    assert told["content"] == b"a graph"
    assert told["network"].name == REQUEST.engine_name
    assert (tmp_path / "plan").read_bytes() == b"ftrt plan"
    assert answer == {
        "version": "8.6.1",
        "strongly_typed": False,
        "layers": 5,
        "parsed_types": {"convolution": {"float16": 2}, "matrix_multiply": {"float32": 1}},
        "kept_float32": 0,
        "gpu": None,
        "timing_cache": None,
        "notes": [],
    }
    assert told["config"].profiling_verbosity == "DETAILED"


def test_a_later_one_reads_precision_in_the_graph(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("10.3.0")
    answer = built_by(module, tmp_path, monkeypatch, profile={})
    assert module.record.told["network_flags"] == 2
    assert module.record.told["flags"] == []
    assert "profile" not in module.record.told
    assert answer["strongly_typed"] is True


def test_what_is_asked_for_is_told(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fakes.bindings("10.3.0")
    built_by(
        module, tmp_path, monkeypatch, tactic_dram_mib=2048, optimization_level=5, version_compatible=True, half=False
    )
    told = module.record.told
    assert told["TACTIC_DRAM"] == 2 << 30
    assert "WORKSPACE" not in told
    assert told["flags"] == ["VERSION_COMPATIBLE"]
    assert told["config"].builder_optimization_level == 5


def test_nothing_is_told_that_nobody_asked_for(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("11.4.0.106")
    built_by(module, tmp_path, monkeypatch)
    told = module.record.told
    assert told["flags"] == []
    assert told["config"].builder_optimization_level == 3
    assert not {"WORKSPACE", "TACTIC_DRAM", "caches", "previews"} & told.keys()


def test_an_optimisation_level_that_the_library_lacks_is_said(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("8.6.1")
    monkeypatch.delattr(module.IBuilderConfig, "builder_optimization_level")
    answer = built_by(module, tmp_path, monkeypatch, optimization_level=2)
    assert answer["notes"] == ["TensorRT 8.6.1 has no optimisation levels: it was not told of one"]


def test_memory_that_runs_out_is_an_answer(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = built_by(fakes.bindings("10.3.0", enough_mib=256), tmp_path, monkeypatch, workspace_mib=512)
    assert answer == {"short_of_memory": "tiny.onnx: the GPU's memory is used up"}


def test_a_timing_cache_serves_the_next_build(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = ("orin-nano-8", ("15W", "fp16"))
    module = fakes.bindings("10.3.0")
    answer = built_by(module, tmp_path, monkeypatch, timing_cache=place)
    path = Path(answer["timing_cache"])
    assert path == tmp_path / "cache" / "amfac-edge" / "timing" / "orin-nano-8.tensorrt-10.3.0.15w.fp16.cache"
    assert module.record.told["caches"] == [b""]
    measured = (tmp_path / "plan.cache").read_bytes()
    assert measured == b"measured by 10.3.0: 1 ms"
    keep_timing_cache(path, measured)
    again = fakes.bindings("10.3.0")
    assert built_by(again, tmp_path, monkeypatch, timing_cache=place)["notes"] == []
    assert again.record.told["caches"] == [measured]


def test_a_user_without_a_home_builds_without_a_cache(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    answer = built_by(fakes.bindings("10.3.0"), tmp_path, monkeypatch, timing_cache=("orin-nano-8", ("15W", "fp16")))
    assert answer["timing_cache"] is None
    assert answer["notes"][0].startswith("nothing measured is kept for the next build: no place for a cache")


def test_a_foreign_timing_cache_is_left_aside(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = cache_file("orin-nano-8", "10.3.0", ("15W", "fp16"))
    keep_timing_cache(path, b"measured by 8.6.2: 1 ms")
    module = fakes.bindings("10.3.0")
    answer = built_by(module, tmp_path, monkeypatch, timing_cache=("orin-nano-8", ("15W", "fp16")))
    assert answer["notes"] == [f"{path}: a timing cache of another TensorRT or GPU; a fresh one was begun"]
    assert module.record.told["caches"] == [b"measured by 8.6.2: 1 ms", b""]
    assert (tmp_path / "plan.cache").read_bytes() == b"measured by 10.3.0: 1 ms"


def test_the_monitor_tells_the_parent_and_stops_when_nobody_listens(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    module = fakes.bindings("10.3.0", phases=(("Building engine", 2), ("Timing tactics", 3)))
    monkeypatch.setattr(progress, "_PAUSE_S", 0.0)

    def listening(value: object) -> bool:
        told.append(value)
        return True

    monkeypatch.setattr(progress, "tell_parent", listening)
    built_by(module, tmp_path, monkeypatch)
    stages = [value["stage"] for value in told if "stage" in value]
    assert stages == ["loading the library", "parsing", "building", "writing"]
    assert {"phase": "Timing tactics", "step": 2, "steps": 3} in told
    monkeypatch.setattr(progress, "tell_parent", lambda _: False)
    with pytest.raises(AmfacError, match="Build canceled"):
        built_by(fakes.bindings("10.3.0", phases=(("Timing tactics", 3),)), tmp_path, monkeypatch)


def test_the_flag_form_is_told_and_not_typed(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fakes.bindings("10.3.0")
    answer = built_by(module, tmp_path, monkeypatch, typed=False)
    assert module.record.told["network_flags"] == 0
    assert module.record.told["flags"] == ["FP16"]
    assert answer["strongly_typed"] is False


@pytest.mark.parametrize(("version", "typed"), [("8.6.1", True), ("10.3.0", False)])
def test_where_the_library_chooses_types_the_islands_stay_float32(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, version: str, typed: bool
) -> None:
    module = fakes.bindings(version, types=LAYERS)
    islands = ("Gemm_4", "bins", "without")
    answer = built_by(module, tmp_path, monkeypatch, typed=typed, islands=islands)
    told = module.record.told
    assert told["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    whole = ["FLOAT", (0, "FLOAT")]
    # Not the integers of the argmax, and not the layer whose name only begins alike.
    assert told["held"] == {"Gemm_4": whole, "Gemm_4_48": whole, "bins": whole, "without": whole}
    assert (answer["kept_float32"], answer["notes"]) == (4, [])


def test_islands_that_nobody_finds_are_said(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fakes.bindings("8.6.1", types=LAYERS)
    answer = built_by(module, tmp_path, monkeypatch, islands=("another", "one"))
    assert module.record.told["flags"] == ["FP16"]
    assert answer["notes"] == [
        "none of the 2 nodes that should stay float32 was found by its name: the library chooses"
    ]


def test_strong_types_need_no_islands(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = fakes.bindings("10.3.0", types=(("CONVOLUTION", "HALF"), *LAYERS[1:]))
    built_by(module, tmp_path, monkeypatch, islands=("Gemm_4",))
    assert "held" not in module.record.told


@pytest.mark.parametrize("version", ["8.6.1", "11.4.0.106"])
def test_a_frame_that_would_be_sampled_by_its_nearest_pixels_is_refused(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    types = (("CONVOLUTION", "HALF"), ("GRID_SAMPLE", "FLOAT", "sample"))
    built_by(fakes.bindings(version, types=types), tmp_path, monkeypatch)
    with pytest.raises(ModelFileError, match="misreads it: sample samples by NEAREST, not LINEAR"):
        built_by(fakes.bindings(version, types=types, sampling="NEAREST"), tmp_path, monkeypatch)


def test_another_gpu_is_refused_or_said(fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = GpuHere("NVIDIA GeForce RTX 4090", "8.9", 128, "12.6")
    monkeypatch.setattr("amfac_edge.compiler.building.gpu_here", lambda: other)
    with pytest.raises(MachineError, match=r"device 0 is NVIDIA GeForce RTX 4090.*8\.7 can't be built.*\n.*VISIBLE"):
        built_by(fakes.bindings("10.3.0"), tmp_path, monkeypatch)
    assert not (tmp_path / "plan").exists()
    assert built_by(fakes.bindings("10.3.0"), tmp_path, monkeypatch, any_gpu=True)["gpu"] == dataclasses.asdict(other)


def test_a_typed_graph_without_half_precision_is_refused(
    fakes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = (("CONVOLUTION", "FLOAT"), ("MATRIX_MULTIPLY", "FLOAT"))
    with pytest.raises(ModelFileError, match=r"said to compute in half precision, and its layers are float32"):
        built_by(fakes.bindings("10.3.0", types=full), tmp_path, monkeypatch)
    # 8.6 chooses by itself; what it chose, its inspector tells.
    assert built_by(fakes.bindings("8.6.1", types=full), tmp_path, monkeypatch)["version"] == "8.6.1"
    assert built_by(fakes.bindings("10.3.0", types=full), tmp_path, monkeypatch, half=False)["layers"] == 2


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
