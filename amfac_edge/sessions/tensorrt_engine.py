"""A plan that was loaded: what it takes, and contexts to run it in. Everything here is within one CUDA context.

A captured CUDA graph is bound to the state of its execution context, so each set of input shapes has a context of its
own (NVIDIA, TensorRT documentation, "CUDA Graphs"). Those of TensorRT proper share one block of memory for
activations, since one stream runs one after the other; TensorRT-RTX captures graphs itself and keeps its own memory.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import RTX, TensorSpec
from amfac_edge.errors import ModelFileError
from amfac_edge.sessions.rtx_runtime import RtxRuntime
from amfac_edge.sessions.tensorrt_library import LEAN, keeping_logger, load_library
from amfac_edge.sessions.tensorrt_messages import error_from_log, notes_from_log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from amfac_edge.artefact import Examined, Manifest
    from amfac_edge.errors import AmfacError
    from amfac_edge.sessions.cuda import Buffer, CudaDevice

__all__ = ["LoadedEngine", "Shapes"]

Shapes = tuple[tuple[int, ...], ...]
"""One shape for each input, in the order of `LoadedEngine.inputs`."""

_TYPES = {"float": "float32", "half": "float16"}
# The axes of a frame, where no manifest names them.
_FRAME: Mapping[str, tuple[int | str, ...]] = MappingProxyType({"frame": ("frame_height", "frame_width", 3)})
_REEXPORT = "Export the model again with amfac-export."


class LoadedEngine:
    """The engine of a plan.

    Args:
        path: of the plan, for messages.
        examined: the plan; nothing but its `content` is loaded.
        manifest: its own; None where it was lost.
        device: whose context is current.
        host_code: the plan may bring code for the CPU.

    Attributes:
        inputs: as the manifest would write them.
        outputs: likewise.
        name: that the engine was given when it was built.
        limits: smallest, tuned-for and largest shape of each input.
        library: that runs it, and its version.
        notes: what the library remarked that is worth knowing.

    Raises:
        ModelFileError: the library refuses the plan, or its tensors are other than the manifest says.
        MachineError: the library isn't here, or the machine is at fault.
    """

    def __init__(
        self, path: Path, examined: Examined, manifest: Manifest | None, device: CudaDevice, *, host_code: bool
    ) -> None:
        flavour, content = examined.header.flavour, examined.content
        assert flavour is not None  # the verdict refuses what is no plan
        assert content is not None
        self._path, self._device = path, device
        self._log: list[str] = []
        self.trt: Any = load_library(flavour, use="running a plan", lean=True)
        self.library = f"{self.trt.__name__} {self.trt.__version__}"
        if self.trt.__name__ == LEAN and not (manifest and manifest.plan and manifest.plan.host_code):
            raise ModelFileError(
                f"{path}: TensorRT's lean runtime, all that is here, runs version-compatible plans, which this isn't",
                cure="Build it with --version-compatible, or install TensorRT itself.",
            )
        self._runtime: Any = None
        self._engine: Any = self._deserialised(content, host_code=host_code)
        self.name = str(self._engine.name)
        self.notes = notes_from_log(self._log)
        self._log.clear()
        self._memory: Buffer | None = None
        inputs, outputs = self._tensors(self._engine, manifest)
        self.inputs, self.outputs = inputs, outputs
        self.limits: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
            tensor.name: self._limits(self._engine, tensor) for tensor in inputs
        }
        self._rtx = RtxRuntime.made(self.trt, self._engine, content, device) if flavour == RTX else None
        if flavour == RTX and self._rtx is None:
            raise self.failure()

    @property
    def captures_graphs(self) -> bool:
        """Whether the library captures CUDA graphs by itself."""
        return self._rtx is not None and self._rtx.captures_graphs

    def new_context(self, shapes: Shapes, addresses: Mapping[str, int]) -> Any:  # noqa: ANN401 - TensorRT's own
        """A context for input shapes within the limits, whose every tensor has its address.

        Raises:
            ModelFileError: the library refuses something; with what it said.
            MachineError: memory is used up.
        """
        context = self._rtx.new_context(self._engine) if self._rtx else self._proper_context(self._engine)
        if context is None or not self._bound(context, shapes, addresses):
            raise self.failure()
        return context

    def enqueue(self, context: Any, stream: int) -> None:  # noqa: ANN401 - TensorRT's own
        """Enqueue one inference.

        Raises:
            ModelFileError: the library refuses; with what it said.
            MachineError: what it said speaks of the machine.
        """
        if not context.execute_async_v3(stream):
            raise self.failure()

    def failure(self) -> AmfacError:
        """The error for what the library just refused, which is then forgotten."""
        error = error_from_log(self._log, where=str(self._path))
        self._log.clear()
        return error

    def keep_cache(self) -> None:
        """Keep what TensorRT-RTX compiled for the next session."""
        if self._rtx:
            self._rtx.keep_cache()

    def close(self) -> None:
        """Free engine and memory; contexts must be gone."""
        self._rtx = self._engine = self._runtime = None
        memory, self._memory = self._memory, None
        if memory is not None:
            self._device.free(memory)

    def _deserialised(self, content: bytes, *, host_code: bool) -> Any:  # noqa: ANN401 - TensorRT's own
        trt = self.trt
        try:
            runtime = trt.Runtime(keeping_logger(trt, self._log))
            if host_code:
                runtime.engine_host_code_allowed = True
            engine = runtime.deserialize_cuda_engine(content)
        except (TypeError, RuntimeError) as error:  # a constructor that got nothing from the library
            self._log.append(str(error))
            raise self.failure() from error
        if engine is None:
            raise self.failure()
        self._runtime = runtime  # which the engine needs alive
        return engine

    def _tensors(
        self,
        engine: Any,  # noqa: ANN401 - TensorRT's own
        manifest: Manifest | None,
    ) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs as the manifest would write them; axes without a size have its names for them."""
        trt = self.trt
        known = {tensor.name: tensor.shape for tensor in (*manifest.inputs, *manifest.outputs)} if manifest else _FRAME
        sides: tuple[list[TensorSpec], list[TensorSpec]] = ([], [])
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            dtype = str(engine.get_tensor_dtype(name).name).lower()
            named = known.get(name, ())
            shape = tuple(
                side if side >= 0 else (named[axis] if axis < len(named) else "?")
                for axis, side in enumerate(engine.get_tensor_shape(name))
            )
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            sides[0 if is_input else 1].append(TensorSpec(name, _TYPES.get(dtype, dtype), shape))
        return tuple(sides[0]), tuple(sides[1])

    def _limits(
        self,
        engine: Any,  # noqa: ANN401 - TensorRT's own
        tensor: TensorSpec,
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Smallest, tuned-for and largest shape of an input."""
        fixed = tuple(side for side in tensor.shape if isinstance(side, int))
        if len(fixed) == len(tensor.shape):
            return fixed, fixed, fixed
        shapes = [tuple(int(side) for side in shape) for shape in engine.get_tensor_profile_shape(tensor.name, 0)]
        if len(shapes) != 3 or any(len(shape) != len(tensor.shape) for shape in shapes):  # noqa: PLR2004 - min, opt, max
            raise ModelFileError(f"{self._path}: it has no profile for {tensor.name}", cure=_REEXPORT)
        return shapes[0], shapes[1], shapes[2]

    def _bound(self, context: Any, shapes: Shapes, addresses: Mapping[str, int]) -> bool:  # noqa: ANN401 - TensorRT's own
        """Give every tensor its shape and address; whether the library took them all."""
        took = [context.set_input_shape(tensor.name, shape) for tensor, shape in zip(self.inputs, shapes, strict=True)]
        took += [context.set_tensor_address(name, address) for name, address in addresses.items()]
        try:
            return all(took) and not context.infer_shapes()
        except RuntimeError as error:  # it knows the shapes, and something else is wrong
            self._log.append(str(error))
            return False

    def _proper_context(self, engine: Any) -> Any:  # noqa: ANN401 - TensorRT's own
        """A context of TensorRT proper, in the memory that all of them share."""
        trt = self.trt
        if hasattr(trt, "ExecutionContextAllocationStrategy"):
            context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
            size = engine.device_memory_size_v2
        else:
            context = engine.create_execution_context_without_device_memory()
            size = engine.device_memory_size
        if context is None or not size:
            return context
        if self._memory is None:
            self._memory = self._device.device_buffer(size)
        if hasattr(context, "set_device_memory"):
            context.set_device_memory(self._memory.address, size)
        else:
            context.device_memory = self._memory.address
        return context
