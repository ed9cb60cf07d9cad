"""The part of TensorRT that runs plans, over a `FakeGpu`: the contract of NVIDIA's documentation, the numbers of ONNX.

A "plan" of it wraps an ONNX file, which is computed with ONNX Runtime on the host: it shows that a session's calls are
right and its numbers those of the CPU, and nothing about speed or about any GPU. What the documentation forbids is
refused as TensorRT refuses it: False or None, and a line in the log, in TensorRT's words where they are known.
"""

# ruff: noqa: ANN401 - stands in for a module without types
from __future__ import annotations

import enum
import functools
import json
import struct
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import onnxruntime

from tests.sessions.fake_cuda import made_module
from tests.sessions.fake_gpu import GpuError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from tests.sessions.fake_gpu import FakeGpu

PROPER_MAGIC, RTX_HEAD_SIZE = b"ftrt", 64
_BODY = b"FAKE PLAN: "
_SCRATCH = 4096

DataType = enum.Enum("DataType", {"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "UINT8": 5})
TensorIOMode = enum.Enum("TensorIOMode", {"NONE": 0, "INPUT": 1, "OUTPUT": 2})
ExecutionContextAllocationStrategy = enum.Enum(
    "ExecutionContextAllocationStrategy", {"STATIC": 0, "ON_PROFILE_CHANGE": 1, "USER_MANAGED": 2}
)
_Strategy = ExecutionContextAllocationStrategy
SpecializationStrategy = enum.Enum("SpecializationStrategy", {"LAZY": 0, "EAGER": 1, "NONE": 2})
CudaGraphStrategy = enum.Enum("CudaGraphStrategy", {"DISABLED": 0, "WHOLE_GRAPH_CAPTURE": 1})
Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})

_DTYPES = {"tensor(uint8)": DataType.UINT8, "tensor(float)": DataType.FLOAT}
_NUMPY: dict[DataType, np.dtype[Any]] = {DataType.UINT8: np.dtype(np.uint8), DataType.FLOAT: np.dtype(np.float32)}


def plan_body(
    model: bytes,
    *,
    version: str,
    profile: Mapping[str, Any],
    scratch: int = _SCRATCH,
    shared: bool = True,
    name: str = "",
) -> bytes:
    """What stands behind a plan's head: the ONNX and what the fake knows of it.

    Args:
        model: the ONNX.
        version: of the library that built it.
        profile: smallest, tuned-for and largest shape of each dynamic input.
        scratch: bytes that a context needs.
        shared: built with PROFILE_SHARING_0806, without which 8.6 lets one context use the profile.
        name: of the engine.
    """
    facts = json.dumps(
        {"version": version, "profile": profile, "scratch": scratch, "shared": shared, "name": name}
    ).encode()
    return _BODY + struct.pack("<I", len(facts)) + facts + model


class _Logger:
    """ILogger: a base class for Python's own loggers."""

    Severity = Severity

    def __init__(self) -> None:
        pass

    def log(self, severity: int, message: str) -> None:
        raise AssertionError(severity, message)


def _say(logger: _Logger, severity: Severity, line: str) -> None:
    logger.log(severity, line)


def _made(gpu: FakeGpu, logger: _Logger, call: str, make: Any, *arguments: Any) -> Any:
    """What `make` makes; None, and a line in the log, where CUDA fails."""
    try:
        gpu.enter(call)
        return make(*arguments)
    except GpuError as error:
        _say(logger, Severity.ERROR, f"{call}: Error Code 1: Cuda Runtime ({error.name})")
        return None


class _Refused(Exception):  # noqa: N818 - becomes a line of the log
    pass


class _Engine:
    """ICudaEngine."""

    num_optimization_profiles = 1

    def __init__(self, gpu: FakeGpu, logger: Any, facts: dict[str, Any], model: bytes, library: ModuleType) -> None:
        self._gpu, self._logger, self._library = gpu, logger, library
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._network = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name: one for one in self._network.get_inputs()}
        self._tensors = {**self._inputs, **{one.name: one for one in self._network.get_outputs()}}
        self._profile, self._scratch = facts["profile"], facts["scratch"]
        self.name = facts.get("name", "")
        self._serves_one = library.old and not facts["shared"] and bool(self._profile)
        self._contexts: WeakSet[_Context] = WeakSet()
        self.num_io_tensors = len(self._tensors)
        if library.old:
            self.device_memory_size = self._scratch
            self.create_execution_context_without_device_memory = lambda: self._context(owned=False)
        else:
            self.device_memory_size_v2 = self._scratch
        if library.rtx:
            self.create_runtime_config = lambda: _made(gpu, logger, "createRuntimeConfig", _RuntimeConfig, gpu, logger)
        gpu.objects.add(self)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return _DTYPES[self._tensors[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(side if isinstance(side, int) else -1 for side in self._tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert profile_index == 0
        if -1 not in self.get_tensor_shape(name):
            return []
        return [tuple(shape) for shape in self._profile[name]]

    def create_execution_context(self, strategy: Any = _Strategy.STATIC) -> Any:
        if isinstance(strategy, _RuntimeConfig):
            assert self._library.rtx
            return self._context(owned=True, settings=strategy)
        assert not (self._library.old and strategy is not _Strategy.STATIC), "8.6 takes no strategy"
        return self._context(owned=strategy is not _Strategy.USER_MANAGED)

    def _context(self, *, owned: bool, settings: Any = None) -> Any:
        make = functools.partial(_Context, self._gpu, self._logger, self, owned=owned, settings=settings)
        return _made(self._gpu, self._logger, "createExecutionContext", make)


class _Context:
    """IExecutionContext."""

    def __init__(self, gpu: FakeGpu, logger: Any, engine: _Engine, *, owned: bool, settings: Any) -> None:
        self._gpu, self._logger, self._engine, self._settings = gpu, logger, engine, settings
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._version = 0
        self._ran_at = -1
        self._has_profile = not (engine._serves_one and engine._contexts)
        if not self._has_profile:
            self._log(
                "Profile 0 has been chosen by another IExecutionContext. Use another profileIndex or destroy the "
                "IExecutionContext that use this profile."
            )
        engine._contexts.add(self)
        self._memory: tuple[int, int] | None = None
        self._own = gpu.allocate(engine._scratch) if owned else None
        if self._own:
            self._memory = self._own.address, engine._scratch
        if not engine._library.old:
            self.set_device_memory = self._set_device_memory
        gpu.objects.add(self)

    def __del__(self) -> None:
        if own := getattr(self, "_own", None):
            own.live = False

    @property
    def device_memory(self) -> int:
        raise AssertionError("can't be read")

    @device_memory.setter
    def device_memory(self, memory: int) -> None:
        self._set_device_memory(memory, self._engine._scratch)

    def _set_device_memory(self, memory: int, size: int) -> None:
        self._memory, self._version = (memory, size), self._version + 1

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._version += 1
        if not self._has_profile:
            self._log(
                "Parameter check failed at: runtime/api/executionContext.cpp::setInputShape, condition: "
                "mOptimizationProfile >= 0 && mOptimizationProfile < mEngine.getNbOptimizationProfiles()"
            )
            return False
        fixed = self._engine.get_tensor_shape(name)
        low, _, high = self._engine.get_tensor_profile_shape(name, 0) or [fixed] * 3
        if len(shape) != len(low) or not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            self._log(
                f"IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, condition: "
                f"satisfyProfile. Set dimension {list(shape)} for tensor {name} does not satisfy any "
                "optimization profiles.)"
            )
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._version += 1
        if name not in self._engine._tensors:
            return False
        assert memory % 256 == 0, "addresses must be aligned to 256 bytes"
        self._addresses[name] = int(memory)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = self._engine.get_tensor_shape(name)
        if name in self._engine._inputs:
            return self._shapes.get(name, shape)
        people = next((of[0] for one, of in self._shapes.items() if one != "frame"), -1)
        return tuple(people if side == -1 else side for side in shape)

    def infer_shapes(self) -> list[str]:
        return [
            name
            for name in self._engine._inputs
            if -1 in self._engine.get_tensor_shape(name) and name not in self._shapes
        ]

    def execute_async_v3(self, stream_handle: int) -> bool:
        try:
            self._enqueue(stream_handle)
        except _Refused as refused:
            self._log(f"IExecutionContext::enqueueV3: Error Code 3: API Usage Error ({refused})")
            return False
        except GpuError as error:
            self._log(f"IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime ({error.name})")
            return False
        return True

    def _enqueue(self, handle: int) -> None:
        gpu = self._gpu
        gpu.enter("enqueueV3")
        missing = [name for name in self._engine._tensors if not self._addresses.get(name)]
        if missing:
            raise _Refused(f"Parameter check failed, condition: mContext.tensorAddress. No address for {missing[0]}.")
        if unset := self.infer_shapes():
            raise _Refused(f"Parameter check failed, condition: allInputDimensionsSpecified. Not set: {unset[0]}.")
        if self._memory is None:
            raise _Refused("Parameter check failed, condition: mScratch. No device memory was set.")
        if gpu.stream_of(handle).captured is not None and self._ran_at != self._version:
            gpu.stream_of(handle).broken = True  # the first run after a change allocates and uploads
            raise GpuError("cudaErrorStreamCaptureUnsupported")
        version, self._ran_at = self._version, self._version

        def run() -> None:
            assert version == self._version, "a captured context was changed, which its graph does not survive"
            self._compute()

        gpu.enqueue(handle, run)
        if self._settings is not None:
            self._settings.compile(self._shapes)

    def _compute(self) -> None:
        gpu, engine = self._gpu, self._engine
        assert self._memory is not None
        gpu.device_view(*self._memory)[:] = 0xAA
        views = {}
        for name in engine._tensors:
            dtype, shape = _NUMPY[engine.get_tensor_dtype(name)], self.get_tensor_shape(name)
            size = int(np.prod(shape)) * dtype.itemsize
            views[name] = gpu.device_view(self._addresses[name], size).view(dtype).reshape(shape)
        results = engine._network.run(None, {name: views[name] for name in engine._inputs})
        for output, values in zip(engine._network.get_outputs(), results, strict=True):
            views[output.name][:] = values

    def _log(self, line: str) -> None:
        _say(self._logger, Severity.ERROR, line)


class _RuntimeConfig:
    """IRuntimeConfig of TensorRT-RTX."""

    def __init__(self, gpu: FakeGpu, logger: Any) -> None:
        self._gpu, self._logger = gpu, logger
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = SpecializationStrategy.LAZY
        self._cache: _RuntimeCache | None = None
        gpu.objects.add(self)

    def create_runtime_cache(self) -> _RuntimeCache | None:
        made: _RuntimeCache | None = _made(self._gpu, self._logger, "createRuntimeCache", _RuntimeCache)
        return made

    def set_runtime_cache(self, cache: _RuntimeCache) -> bool:
        self._cache = cache
        return True

    def compile(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        # Lazily it would be compiled behind, and be in the cache some time later.
        eager = self.dynamic_shapes_kernel_specialization_strategy is SpecializationStrategy.EAGER
        if self._cache is not None and eager:
            self._cache.add(json.dumps(shapes))


class _RuntimeCache:
    """IRuntimeCache of TensorRT-RTX."""

    compiled: int = 0

    def __init__(self) -> None:
        self._entries: list[str] = []

    def deserialize(self, blob: bytes) -> bool:
        self._entries = json.loads(blob)
        return True

    def serialize(self) -> bytes:
        return json.dumps(self._entries).encode()

    def add(self, entry: str) -> None:
        if entry not in self._entries:
            self._entries.append(entry)
            _RuntimeCache.compiled += 1


def bindings(  # noqa: C901 - a module with a class in it
    gpu: FakeGpu, version: str, *, rtx: bool = False, lean: bool = False
) -> ModuleType:
    """A module like that of TensorRT `version`, of its lean runtime, or of TensorRT-RTX."""
    name = "tensorrt_rtx" if rtx else "tensorrt_lean" if lean else "tensorrt"
    library = made_module(
        name,
        __version__=version,
        rtx=rtx,
        old=version.startswith("8."),
        ILogger=_Logger,
        DataType=DataType,
        TensorIOMode=TensorIOMode,
        host_code=[],
        remarks=[],
    )
    if not version.startswith("8."):
        library.ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy  # type: ignore[attr-defined]
    if rtx:
        library.CudaGraphStrategy = CudaGraphStrategy  # type: ignore[attr-defined]
        library.DynamicShapesKernelSpecializationStrategy = SpecializationStrategy  # type: ignore[attr-defined]

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            assert isinstance(logger, _Logger)
            self._logger = logger
            try:
                gpu.enter("createInferRuntime")
            except GpuError as error:
                _say(logger, Severity.ERROR, f"createInferRuntime: Error Code 6: API Usage Error (CUDA: {error.name})")
                raise TypeError("pybind11::init(): factory function returned nullptr") from None
            gpu.objects.add(self)

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> _Engine | None:
            library.host_code.append(self.engine_host_code_allowed)
            for line in library.remarks:
                _say(self._logger, Severity.WARNING, line)
            fault = _fault(serialized_engine, version)
            if fault is None:
                try:
                    gpu.enter("deserializeCudaEngine")
                except GpuError as error:
                    fault = f"IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime ({error.name})"
            if fault is not None:
                _say(self._logger, Severity.ERROR, fault)
                return None
            return _Engine(gpu, self._logger, *_parts(serialized_engine), library)

    library.Runtime = Runtime  # type: ignore[attr-defined]
    return library


def _fault(content: bytes, version: str) -> str | None:
    if _BODY not in content:
        return (
            "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
            "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)"
        )
    built = _parts(content)[0]["version"]
    if built != version:
        return (
            "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is not compatible "
            f"with this version of TensorRT, expecting library version {version} got {built}, please rebuild.)"
        )
    return None


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    body = content[content.index(_BODY) + len(_BODY) :]
    (length,) = struct.unpack_from("<I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]
