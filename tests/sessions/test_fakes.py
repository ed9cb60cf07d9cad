"""The stand-ins have what the real libraries have, and refuse what their documentation forbids."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sessions import fake_cuda, fake_pycuda, fake_tensorrt_runtime
from tests.sessions.fake_gpu import PRIMARY, TEXTS, FakeGpu, GpuError

if TYPE_CHECKING:
    from types import ModuleType

    from tests.sessions.conftest import Board

ADAPTERS = Path(__file__).parents[2] / "amfac_edge" / "sessions"
RECORD = json.loads((Path(__file__).parents[1] / "facts" / "tensorrt_api.json").read_text())


# ------------------------------------------------------------------------------------------- the same names as the real


def _real(name: str) -> ModuleType:
    return pytest.importorskip(f"cuda.bindings.{name}", reason="cuda-python isn't installed")


@pytest.mark.parametrize("name", ["runtime", "driver"])
def test_functions_take_what_cuda_python_takes(name: str) -> None:
    real = _real(name)
    fake = fake_cuda.cuda_python(FakeGpu())[f"cuda.bindings.{name}"]
    functions = {key: made for key, made in vars(fake).items() if hasattr(made, "__wrapped__")}
    assert len(functions) > 9
    for key, function in functions.items():
        signature = (getattr(real, key).__doc__ or "").partition("\n")[0]
        words = re.fullmatch(rf"{key}\((.*)\)", signature)
        assert words is not None, signature
        arguments = [re.sub(r":.*", "", one).split()[-1].lstrip("*") for one in words[1].split(",") if one.strip()]
        assert list(inspect.signature(function).parameters) == arguments


def test_every_name_that_the_adapter_uses_is_in_cuda_python() -> None:
    source = (ADAPTERS / "cuda_python.py").read_text()
    called = set(re.findall(r'(?:call|_drive)\(\s*"(\w+)"', source))
    assert len(called) > 25
    named = set(re.findall(r"(?:runtime|_driver)\.(cu\w+|CU\w+)", source))
    real = vars(_real("runtime")) | vars(_real("driver"))
    assert (called | named) - real.keys() == set()
    members = re.findall(r"\.(cudaMemcpyKind|cudaStreamCaptureMode|cudaError_t)\.(\w+)", source)
    members += [("cudaMemcpyKind", one) for one in re.findall(r"kinds\.(\w+)", source)]
    members += [("CUdevice_attribute", one) for one in re.findall(r"(CU_DEVICE_ATTRIBUTE_[A-Z_]+)[\",]", source)]
    assert len(members) >= 5
    for owner, member in members:
        assert hasattr(real[owner], member), member


@pytest.mark.parametrize("which", ["CudaError", "CopyKind", "CaptureMode"])
def test_numbers_are_cudas(which: str) -> None:
    owner = {"CudaError": "cudaError_t", "CopyKind": "cudaMemcpyKind", "CaptureMode": "cudaStreamCaptureMode"}[which]
    real = getattr(_real("runtime"), owner)
    for member in getattr(fake_cuda, which):
        assert int(getattr(real, member.name)) == int(member), member


def test_words_for_errors_are_cudas() -> None:
    runtime = _real("runtime")
    for name, words in TEXTS.items():
        assert runtime.cudaGetErrorString(getattr(runtime.cudaError_t, name))[1].decode() == words


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.4.0.106", "rtx-1.7.1.116"])
def test_classes_have_nothing_that_tensorrt_lacks(board: Board, version: str) -> None:
    rtx = version.startswith("rtx-")
    board.install_tensorrt(version.removeprefix("rtx-"), rtx=rtx)
    plan = board.marker_plan(version=version.removeprefix("rtx-"), rtx=rtx)
    board.gpu.stack.append(PRIMARY)

    class Quiet(board.library.ILogger):  # type: ignore[name-defined,misc]
        def log(self, severity: int, message: str) -> None:
            pytest.fail(f"{severity}: {message}")

    runtime = board.library.Runtime(Quiet())
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if rtx:
        settings = engine.create_runtime_config()
        cache = settings.create_runtime_cache()
        context = engine.create_execution_context(settings)
        made = {"IRuntimeConfig": settings, "IRuntimeCache": cache}
    else:
        context, made = engine.create_execution_context(), {}
    made |= {"Runtime": runtime, "ICudaEngine": engine, "IExecutionContext": context, "": board.library}
    for owner, thing in made.items():
        own = {name for name in dir(thing) if not name.startswith("_")} - {"rtx", "old", "host_code", "remarks"}
        if owner == "IRuntimeConfig":
            own -= {"compile"}
        assert own - _members(owner, version) == ({"add", "compiled"} if owner == "IRuntimeCache" else set()), owner
    board.gpu.stack.clear()


def _members(owner: str, version: str) -> set[str]:
    groups = RECORD["names"][owner]
    return {
        name
        for versions, names in groups.items()
        if versions == "all" or version in versions.split()
        for name in names.split()
    }


# What the stand-in says that its methods give, by the name that TensorRT's docstrings have for it.
GIVEN = {
    "Dims": {"tuple[int, ...]"},
    "list[Dims]": {"list[tuple[int, ...]]"},
    "IHostMemory": {"bytes"},
    "ICudaEngine": {"_Engine | None"},
    "IExecutionContext": {"Any"},
    "IRuntimeCache": {"_RuntimeCache | None"},
}
CLASSES = ("Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache")


def _overloads(method: str, version: str) -> list[tuple[list[str], str]]:
    """Arguments and result of each form of a method, as the docstrings of that version have them."""
    groups = RECORD["signatures"].get(method, {})
    texts = [
        one for versions, ones in groups.items() if versions == "all" or version in versions.split() for one in ones
    ]
    found = []
    for text in texts:
        arguments, _, gives = text[1:].rpartition(") -> ")
        found.append((re.findall(r"(?:^|, )(\w+): ", arguments), gives))
    return found


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "10.16.1.11", "11.4.0.106", "rtx-1.7.1.116"])
def test_methods_take_and_give_what_tensorrts_docstrings_say(version: str) -> None:
    runtime = fake_tensorrt_runtime.bindings(FakeGpu(), version.removeprefix("rtx-"), rtx=version.startswith("rtx-"))
    ours = ("Runtime", "_Engine", "_Context", "_RuntimeConfig", "_RuntimeCache")
    seen = 0
    for owner, name in zip(CLASSES, ours, strict=True):
        kind = runtime.Runtime if name == "Runtime" else getattr(fake_tensorrt_runtime, name)
        for member, function in vars(kind).items():
            overloads = _overloads(f"{owner}.{member}", version)
            if not inspect.isfunction(function) or not overloads:
                continue
            seen += 1
            parameters = list(inspect.signature(function).parameters.values())[1:]
            arguments = [one.name for one in parameters]
            needed = sum(one.default is inspect.Parameter.empty for one in parameters)
            fitting = [gives for names, gives in overloads if needed <= len(names) <= len(arguments)]
            assert fitting, (member, arguments, overloads)
            result = str(inspect.signature(function).return_annotation)
            assert any(result in GIVEN.get(gives, {gives}) for gives in fitting), (member, result, fitting)
            # Names are free where ours stands for several forms; else a caller may use them.
            if len(overloads) == 1 or member == "set_input_shape":
                names = overloads[0][0]
                assert arguments[: max(needed, len(names))] == names, (member, arguments, overloads)
    assert seen >= (16 if version.startswith("rtx-") else 12)


def test_the_real_docstrings_say_what_the_stand_in_enforces() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: make rtx")
    said = {
        "Runtime.deserialize_cuda_engine": "None if it could not be deserialized",
        "IExecutionContext.set_device_memory": "256-byte aligned device memory",
        "IExecutionContext.infer_shapes": "an empty list on success",
        "IExecutionContext.execute_async_v3": "output tensors require stream synchronization",
        "IRuntimeCache.deserialize": "A current CUDA context must be present",
    }
    for method, words in said.items():
        owner, _, member = method.partition(".")
        assert words in " ".join(getattr(getattr(real, owner), member).__doc__.split()), method
    assert "fallback kernel till compilation is complete" in real.DynamicShapesKernelSpecializationStrategy.__doc__


@pytest.mark.parametrize(
    "enum", ["DataType", "TensorIOMode", "ExecutionContextAllocationStrategy", "CudaGraphStrategy"]
)
def test_members_of_enumerations_are_tensorrts(enum: str) -> None:
    members = {member.name for member in getattr(fake_tensorrt_runtime, enum)}
    assert members <= _members(enum, "rtx-1.7.1.116")


# ------------------------------------------------------------------------------------- what the documentation forbids


@pytest.fixture
def gpu() -> FakeGpu:
    made = FakeGpu(memory=1 << 16)
    made.stack.append(PRIMARY)
    return made


def test_memory_has_bounds_and_an_end(gpu: FakeGpu) -> None:
    block = gpu.allocate(1000)
    gpu.device_view(block.address + 600, 400)
    for address, size in ((block.address + 601, 400), (block.address - 1, 2), (block.array.ctypes.data, 1)):
        with pytest.raises(GpuError, match="IllegalAddress"):
            gpu.device_view(address, size)
        gpu.sticky = None
    gpu.free(block.address, host=False)
    with pytest.raises(GpuError, match="IllegalAddress"):
        gpu.device_view(block.address, 1)
    with pytest.raises(GpuError, match="IllegalAddress"):  # from here on, whatever it is
        gpu.enter("cudaMalloc")


def test_memory_is_used_up_and_given_back_once(gpu: FakeGpu) -> None:
    block = gpu.allocate(1 << 15)
    with pytest.raises(GpuError, match="MemoryAllocation"):
        gpu.allocate((1 << 15) + 1)
    gpu.free(block.address, host=False)
    with pytest.raises(GpuError, match="InvalidValue"):
        gpu.free(block.address, host=False)
    with pytest.raises(AssertionError, match="that aren't pinned"):
        gpu.pinned_view(np.zeros(8, np.uint8).ctypes.data, 8)


def test_work_waits_until_somebody_waits_for_it(gpu: FakeGpu) -> None:
    done: list[int] = []
    stream, event = gpu.new_stream(), gpu.new_event(0)
    gpu.enqueue(stream, lambda: done.append(1))
    gpu.record(event, stream)
    assert not done
    assert not gpu.event_done(event)
    assert gpu.event_done(event)
    assert done == [1]


def test_streams_belong_to_a_context(gpu: FakeGpu) -> None:
    stream = gpu.new_stream()
    gpu.stack.append(1)
    with pytest.raises(GpuError, match="InvalidResourceHandle"):
        gpu.drain(stream)


def test_a_capture_runs_nothing_and_breaks_where_cuda_breaks_it(gpu: FakeGpu) -> None:
    done: list[int] = []
    stream = gpu.new_stream()
    gpu.begin_capture(stream)
    gpu.enqueue(stream, lambda: done.append(1))
    graph = gpu.end_capture(stream)
    gpu.drain(stream)
    assert not done
    assert len(gpu.graphs[graph]) == 1
    for forbidden in (lambda: gpu.drain(stream), lambda: gpu.allocate(1)):
        gpu.begin_capture(stream)
        with pytest.raises(GpuError, match="CaptureUnsupported"):
            forbidden()
        with pytest.raises(GpuError, match="CaptureInvalidated"):
            gpu.end_capture(stream)


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []


def _context(board: Board) -> tuple[Any, _Log]:
    """A context of TensorRT in memory of its own, and what it says."""
    log = _Log()

    class Keeper(board.library.ILogger):  # type: ignore[name-defined,misc]
        def log(self, severity: int, message: str) -> None:
            log.lines.append(f"{severity} {message}")

    board.gpu.stack.append(PRIMARY)
    engine = board.library.Runtime(Keeper()).deserialize_cuda_engine(board.marker_plan().read_bytes())
    return engine.create_execution_context(), log


def test_a_context_is_refused_what_it_was_not_given(board: Board) -> None:
    context, log = _context(board)
    stream = board.gpu.new_stream()
    assert not context.execute_async_v3(stream)
    assert "No address for crops" in log.lines[-1]
    blocks = {name: board.gpu.allocate(1 << 20) for name in ("crops", "keypoints", "scores")}
    for name, block in blocks.items():
        assert context.set_tensor_address(name, block.address)
    assert context.infer_shapes() == ["crops"]
    assert not context.execute_async_v3(stream)
    assert "Not set: crops" in log.lines[-1]
    for people in (0, 5):
        assert not context.set_input_shape("crops", (people, 64, 48, 3))
        assert "does not satisfy any optimization profiles" in log.lines[-1]
    assert context.set_input_shape("crops", (4, 64, 48, 3))
    assert context.get_tensor_shape("keypoints") == (4, 17, 2)
    assert not context.execute_async_v3(0)
    assert context.execute_async_v3(stream)
    board.gpu.drain(stream)
    assert context.set_input_shape("crops", (2, 64, 48, 3))
    board.gpu.begin_capture(stream)
    assert not context.execute_async_v3(stream)  # the first run after a change
    board.gpu.streams.clear()
    for block in blocks.values():
        block.live = False
    board.gpu.stack.clear()


def test_a_graph_does_not_survive_a_change_of_its_context(board: Board) -> None:
    context, _ = _context(board)
    gpu, stream = board.gpu, board.gpu.new_stream()
    for name in ("crops", "keypoints", "scores"):
        context.set_tensor_address(name, gpu.allocate(1 << 20).address)
    context.set_input_shape("crops", (1, 64, 48, 3))
    context.execute_async_v3(stream)
    gpu.begin_capture(stream)
    context.execute_async_v3(stream)
    gpu.launchable[1] = gpu.graphs.pop(gpu.end_capture(stream))
    gpu.launch_graph(1, stream)
    gpu.drain(stream)
    context.set_input_shape("crops", (2, 64, 48, 3))
    gpu.launch_graph(1, stream)
    with pytest.raises(AssertionError, match="a captured context was changed"):
        gpu.drain(stream)
    gpu.sticky = "the end of this one"


def test_pycuda_words_its_errors_as_pycuda_does() -> None:
    gpu = FakeGpu(memory=100)
    driver: Any = fake_pycuda.pycuda(gpu)["pycuda.driver"]
    with pytest.raises(driver.Error, match="cuMemAlloc failed: invalid device context"):
        driver.mem_alloc(8)
    driver.Device(0).make_context()
    with pytest.raises(driver.Error, match="cuMemAlloc failed: out of memory"):
        driver.mem_alloc(101)
